//! Commands for the vtables with recording hooks.

use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandResult};
use crate::console::reply::Reply;
use crate::memory::hooks;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "vt.addr",
        usage: "both|unmap|lastref|empty|shifted",
        help: "the address of a vtable with these hooks",
        run: address,
    },
    Command { name: "vt.log", usage: "", help: "the hooks that were called, in order", run: log },
    Command { name: "vt.clear", usage: "", help: "forget the hooks that were called", run: clear },
];

fn address(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let name = args.word("name")?;
    args.end()?;
    let unknown =
        || refused(Code::Usage, format_args!("{name}: expected both, unmap, lastref, empty or shifted"));
    reply.hex("addr", hooks::vtable_address(name).ok_or_else(unknown)?);
    Ok(())
}

fn log(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    for record in hooks::records() {
        let (hook, paddr, flag) = (record.stop.name(), record.paddr, u8::from(record.interrupts_enabled));
        reply.data(format_args!("hook={hook} paddr={paddr:#x} if={flag}"));
    }
    reply.field("n", hooks::count());
    Ok(())
}

fn clear(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    args.end()?;
    hooks::clear();
    Ok(())
}
