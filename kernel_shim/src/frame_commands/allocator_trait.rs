//! Commands for the subject's `FrameAllocator` trait, implemented by the shim's buddy.

use super::operand;
use crate::memory::buddy::BuddyFrameAllocator;
use crate::memory::subject::{AllocError, FrameAllocator, PhysFrame};
use crate::smp::call::subject_without_interrupts;
use crate::sync::with_irqs_disabled;
use shim_parts::command::{Args, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("trait.alloc", "<order>", "FrameAllocator::alloc", alloc),
    Command::new("trait.alloc_frame", "", "FrameAllocator::alloc_frame", alloc_frame),
    Command::new("trait.free", "<paddr> <order>", "FrameAllocator::free", free),
];

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let order = args.only(|args| args.u8("order"))?;
    operand::require_buddy()?;
    answer(with_irqs_disabled(|token| BuddyFrameAllocator.alloc(order, token)), reply)
}

fn alloc_frame(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    operand::require_buddy()?;
    answer(with_irqs_disabled(|token| subject_without_interrupts(|| BuddyFrameAllocator.alloc_frame(token))), reply)
}

fn answer(frame: Result<PhysFrame, AllocError>, reply: &mut Reply) -> CommandResult {
    reply.hex("paddr", frame.map_err(operand::alloc_failed)?.start_address);
    Ok(())
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (start_address, order) = args.only(operand::block)?;
    with_irqs_disabled(|token| BuddyFrameAllocator.free(PhysFrame { start_address }, order, token));
    Ok(())
}
