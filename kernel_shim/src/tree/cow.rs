//! Commands for frames that are copied when first written to, and for those of libraries.

use super::ownership::error;
use crate::memory::frame::{frame_flags, PhysFrame};
use crate::memory::{cow, resolve_handle};
use crate::memory_core::address;
use shim_parts::command::{Args, Command, CommandError, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("cow.inc", "<paddr>", "one more reference to the block of a frame", inc),
    Command::new("cow.dec", "<paddr>", "one less; the last one frees", |args, _| on(args, cow::frame_dec_ref)),
    Command::new("cow.count", "<paddr>", "how many there are", count),
    Command::new("cow.init", "<paddr>", "mark a new frame's block as owned once", |args, _| {
        on(args, |frame| cow::handle_init_ref(resolve_handle(frame.start_address)))
    }),
    Command::new("cow.set", "<paddr>", "mark a frame: copied when first written to", |args, _| {
        on(args, cow::frame_set_cow)
    }),
    Command::new("cow.clear", "<paddr>", "take that mark away", |args, _| on(args, cow::frame_clear_cow)),
    Command::new("dll.set", "<paddr>", "mark a frame: a library's", |args, _| on(args, cow::frame_set_dll)),
    Command::new("cow.marks", "<paddr>", "both marks of a frame, and their bits", marks),
];

fn frame(args: &mut Args<'_>) -> Result<PhysFrame, CommandError> {
    let start_address = args.only(address)?;
    Ok(PhysFrame { start_address })
}

fn on(args: &mut Args<'_>, change: impl FnOnce(PhysFrame)) -> CommandResult {
    change(frame(args)?);
    Ok(())
}

fn inc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    reply.field("count", cow::frame_inc_ref(frame(args)?).map_err(error)?);
    Ok(())
}

fn count(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    reply.field("count", cow::frame_get_refcount(frame(args)?));
    Ok(())
}

fn marks(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let frame = frame(args)?;
    // `PhysFrame` is not `Copy` in every version.
    let same = PhysFrame { start_address: frame.start_address };
    reply.flag("cow", cow::frame_is_cow(frame));
    reply.flag("dll", cow::frame_is_dll(same));
    reply.hex("cow_bit", frame_flags::COW);
    reply.hex("dll_bit", frame_flags::DLL);
    Ok(())
}
