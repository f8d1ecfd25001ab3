//! The command that makes the allocators misbehave.

use super::operand;
use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandResult};
use crate::console::reply::Reply;
use crate::memory::boot_alloc::{self, Faults as BootFaults};
use crate::memory::buddy::{self, faults::Faults};

pub const COMMANDS: &[Command] = &[Command {
    name: "inject",
    usage: "buddy.next <paddr> | buddy.refuse <n> | buddy.nostamp <n> | boot.refuse | boot.misalign <bytes> | clear",
    help: "offer this frame next, fail requests, skip UNUSED stamps; fail or misalign at boot; stop it all",
    run: inject,
}];

fn inject(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    match args.word("fault")? {
        "buddy.next" => {
            let pfn = operand::pfn(args)?;
            in_buddy(args, |faults| faults.offer_next(pfn))
        }
        "buddy.refuse" => {
            let requests = args.u64("n")?;
            in_buddy(args, |faults| faults.refuse(requests))
        }
        "buddy.nostamp" => {
            let frees = args.u64("n")?;
            in_buddy(args, |faults| faults.skip_stamps(frees))
        }
        "boot.refuse" => at_boot(args, |faults| faults.refuse = true),
        "boot.misalign" => {
            let bytes = args.u64("bytes")?;
            at_boot(args, |faults| faults.misalign = bytes)
        }
        "clear" => {
            at_boot(args, |faults| *faults = BootFaults::default())?;
            in_buddy(args, |faults| *faults = Faults::new())
        }
        other => Err(refused(Code::Usage, format_args!("{other}: no such fault"))),
    }
}

fn in_buddy(args: &mut Args<'_>, change: impl FnOnce(&mut Faults)) -> CommandResult {
    args.end()?;
    buddy::with(|buddy| change(&mut buddy.faults));
    Ok(())
}

fn at_boot(args: &mut Args<'_>, change: impl FnOnce(&mut BootFaults)) -> CommandResult {
    args.end()?;
    let mut allocator = boot_alloc::get().lock();
    let mut faults = allocator.faults();
    change(&mut faults);
    allocator.set_faults(faults);
    Ok(())
}
