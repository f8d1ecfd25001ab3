//! Commands for the vtables with recording hooks.

use crate::memory::{hooks, vtables};
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("vt.addr", "both|unmap|lastref|empty|shifted|mapped", "the address of such a vtable", address),
    Command::new("vt.log", "", "the hooks that were called, in order", log),
    Command::new("vt.clear", "", "forget the hooks that were called", clear),
];

fn address(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let name = args.only(|args| args.word("name"))?;
    let unknown = || refused(Code::Usage, format_args!("{name}: expected both, unmap, lastref, empty or shifted"));
    reply.hex("addr", vtables::address(name).ok_or_else(unknown)?);
    Ok(())
}

fn log(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    for record in hooks::records() {
        let (hook, paddr, flag) = (record.stop.name(), record.paddr, u8::from(record.interrupts_enabled));
        reply.data(format_args!("hook={hook} paddr={paddr:#x} if={flag}"));
    }
    reply.field("n", hooks::count());
    Ok(())
}

fn clear(_args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    hooks::clear();
    Ok(())
}
