//! Frames as the frame module gives them out, with the words that it writes into their slots.

use crate::frame_module::{self, Purpose, WantedFrame};
use crate::memory_core::address;
use shim_parts::command::{Args, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("frame.words", "", "the count of a frame that nobody has, and the flags of slots", words),
    Command::new("frame.alloc", "pagetable|kernel|user zeroed|unzeroed", "a frame by zeroed(), then purpose()", alloc),
    Command::new("frame.free", "<paddr>", "drop the only reference to a frame, and free it", free),
];

fn words(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    frame_module::words()?.iter().for_each(|&(name, word)| reply.hex(name, word));
    Ok(())
}

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    const PURPOSES: [(&str, Purpose); 3] =
        [("pagetable", Purpose::PageTable), ("kernel", Purpose::Kernel), ("user", Purpose::User)];
    let purpose = args.choice("pagetable|kernel|user", &PURPOSES)?;
    let zeroed = args.choice("zeroed|unzeroed", &[("zeroed", true), ("unzeroed", false)])?;
    args.end()?;
    let wanted = WantedFrame { zeroed_before: Some(zeroed), purpose, zeroed_after: None };
    reply.hex("paddr", frame_module::allocate(&wanted)?);
    Ok(())
}

/// As a kernel does it: the owner drops its reference, then the allocator gets the frame.
fn free(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = args.only(address)?;
    reply.field("before", frame_module::drop_reference(paddr)?);
    frame_module::free(paddr.as_u64(), 0);
    Ok(())
}
