//! Frames as the frame module gives them out, with the words that it writes into their slots.

use crate::memory_core::{address, MemoryCore, Purpose, WantedFrame};
use shim_parts::args::Args;
use shim_parts::command::{refused, Code, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;

/// The commands for the core `C`.
pub const fn commands<C: MemoryCore>() -> [Command; 3] {
    [
        Command::new("frame.words", "", "the count of a frame that nobody has, and the flags of slots", words::<C>),
        Command::new(
            "frame.alloc",
            "pagetable|kernel|user zeroed|unzeroed",
            "allocate a frame through FrameAllocOptions; zeroed(), then purpose()",
            alloc::<C>,
        ),
        Command::new("frame.free", "<paddr>", "drop the only reference to a frame, and free it", free::<C>),
    ]
}

fn words<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let words = C::words()?;
    reply.hex("unused", words.unused);
    reply.hex("free", words.free);
    reply.hex("allocated", words.allocated);
    reply.hex("kernel", words.kernel);
    reply.hex("user", words.user);
    reply.hex("movable", words.movable);
    Ok(())
}

fn alloc<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (purpose, zeroed) = (purpose(args.word("purpose")?)?, zeroed(args.word("zeroed|unzeroed")?)?);
    args.end()?;
    let wanted = WantedFrame { zeroed_before: Some(zeroed), purpose, zeroed_after: None };
    reply.hex("paddr", C::allocate_frame(&wanted)?);
    Ok(())
}

fn purpose(word: &str) -> Result<Purpose, CommandError> {
    match word {
        "pagetable" => Ok(Purpose::PageTable),
        "kernel" => Ok(Purpose::Kernel),
        "user" => Ok(Purpose::User),
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
fn free<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = address(args)?;
    args.end()?;
    reply.field("before", C::drop_reference(paddr)?);
    C::free(paddr, 0);
    Ok(())
}
