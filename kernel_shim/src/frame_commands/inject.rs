//! The command that makes the allocators misbehave.

use super::operand;
use crate::memory::{boot_alloc, buddy};
use shim_parts::boot_frames::Faults as BootFaults;
use shim_parts::buddy::faults::Faults;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[Command::new(
    "inject",
    "buddy.next <paddr> | buddy.refuse <n> | buddy.nostamp <n> | boot.refuse | boot.misalign <bytes> | clear",
    "offer this frame next, fail requests, skip UNUSED stamps; fail or misalign at boot; stop it all",
    inject,
)];

fn inject(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    match args.word("fault")? {
        "buddy.next" => {
            let pfn = operand::pfn(args)?;
            in_buddy(args, |faults| faults.next_frame = Some(pfn))
        }
        "buddy.refuse" => {
            let requests = args.u64("n")?;
            in_buddy(args, |faults| faults.refusals = requests)
        }
        "buddy.nostamp" => {
            let frees = args.u64("n")?;
            in_buddy(args, |faults| faults.missing_stamps = frees)
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
    change(&mut boot_alloc::lock().frames.faults);
    Ok(())
}
