//! Frames as the frame module gives them out, with the words that it writes into their slots.

use super::operations::error;
use crate::memory::{buddy, frame};
use crate::sync::with_irqs_disabled;
use frame::{frame_flags, FrameAllocOptions, FramePurpose, PhysFrame};
use shim_parts::args::Args;
use shim_parts::command::{refused, Code, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("frame.words", "", "the count of a frame that nobody has, and the flags of slots", words),
    Command::new(
        "frame.alloc",
        "pagetable|kernel|user zeroed|unzeroed",
        "allocate a frame through FrameAllocOptions; zeroed(), then purpose()",
        alloc,
    ),
    Command::new("frame.free", "<paddr>", "drop the only reference to a frame, and free it", free),
];

fn words(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    reply.hex("unused", frame::REFCOUNT_UNUSED);
    reply.hex("free", frame_flags::FREE);
    reply.hex("allocated", frame_flags::ALLOCATED);
    reply.hex("kernel", frame_flags::KERNEL);
    reply.hex("user", frame_flags::USER);
    #[cfg(tree_has = "movable")]
    reply.hex("movable", frame_flags::MOVABLE);
    #[cfg(not(tree_has = "movable"))]
    reply.hex("movable", 0_u32);
    Ok(())
}

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (purpose, zeroed) = (purpose(args.word("purpose")?)?, zeroed(args.word("zeroed|unzeroed")?)?);
    args.end()?;
    let options = FrameAllocOptions::new().zeroed(zeroed).purpose(purpose);
    let frame = with_irqs_disabled(|token| options.allocate(token)).map_err(error)?;
    reply.hex("paddr", frame.start_address.as_u64());
    Ok(())
}

fn purpose(word: &str) -> Result<FramePurpose, CommandError> {
    match word {
        "pagetable" => Ok(FramePurpose::PageTable),
        "kernel" => Ok(FramePurpose::KernelData),
        "user" => Ok(FramePurpose::UserData),
        _ => Err(refused(Code::Usage, format_args!("expected pagetable, kernel or user, got {word}"))),
    }
}

fn zeroed(word: &str) -> Result<bool, CommandError> {
    match word {
        "zeroed" => Ok(true),
        "unzeroed" => Ok(false),
        _ => Err(refused(Code::Usage, format_args!("expected zeroed or unzeroed, got {word}"))),
    }
}

/// As a kernel does it: the owner drops its reference, then the allocator gets the frame.
fn free(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = args.u64("paddr")?;
    args.end()?;
    let start_address = PhysAddr::try_new(paddr)
        .map_err(|_| refused(Code::Range, format_args!("{paddr:#x}: expected an address of at most 52 bits")))?;
    reply.field("before", frame::get_meta(start_address).dec_ref());
    with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, 0));
    Ok(())
}
