//! The buddy allocator over the subject's slots.

use super::buddy_locks::{self, Buddy};
use super::cpu_lock::Held;
use super::hooks;
use super::subject::{AllocError, FrameAllocator, PhysFrame};
use crate::arch::cpu;
use crate::memory_map;
use crate::sync::{with_irqs_disabled, IrqDisabledToken};
use core::ptr;
use shim_parts::frame_ranges::FrameRanges;
use shim_parts::pfn_to_paddr;
use shim_parts::stops::Stop;
use shim_parts::zone::{Migratetype, MAX_ORDER};
use x86_64::PhysAddr;

/// A block of `2^order` frames of that migratetype.
pub fn alloc_migratetype(
    token: &IrqDisabledToken,
    order: u8,
    migratetype: Migratetype,
) -> Result<PhysFrame, AllocError> {
    if order as usize > MAX_ORDER {
        return Err(AllocError::InvalidOrder);
    }
    let pfn = buddy_locks::alloc(order, migratetype)
        .or_else(|| lock(token).alloc(cpu::asking(), order, migratetype))
        .ok_or(AllocError::OutOfMemory)?;
    Ok(PhysFrame { start_address: PhysAddr::new(pfn_to_paddr(pfn)) })
}

/// The interface that frame modules knew before there were migratetypes.
#[allow(dead_code)]
pub fn alloc(token: &IrqDisabledToken, order: u8) -> Result<PhysFrame, AllocError> {
    alloc_migratetype(token, order, Migratetype::Unmovable)
}

/// Takes a block back.
///
/// # Panics
/// When the buddy cannot have handed it out, and when part of it is on a free list.
pub fn free(token: &IrqDisabledToken, frame: PhysFrame, order: u8) {
    hooks::record(Stop::Buddy, frame.start_address);
    if !buddy_locks::free(frame.start_address.as_u64(), order) {
        lock(token).free(cpu::asking(), frame.start_address.as_u64(), order);
    }
}

/// Runs `f` on the state, with interrupts disabled and the lock held.
pub fn with<R>(f: impl FnOnce(&mut Buddy) -> R) -> R {
    with_irqs_disabled(|token| f(&mut lock(token)))
}

/// Waits for the state. The token keeps an interrupt of this CPU from waiting for the lock that the CPU holds itself.
fn lock(_token: &IrqDisabledToken) -> Held<'static, Buddy> {
    buddy_locks::whole()
}

/// Starts to manage `frames`.
pub fn init(frames: FrameRanges) {
    let map = memory_map::published();
    with(|buddy| buddy.populate(frames, &map.frames_of_memory(), map.frame_count()));
}

/// The address at which the host finds the state in guest RAM.
pub fn state_address() -> u64 {
    with(|buddy| ptr::from_ref(&buddy.state).expose_provenance() as u64)
}

/// The buddy behind the subject's own trait.
pub struct BuddyFrameAllocator;

impl FrameAllocator for BuddyFrameAllocator {
    fn alloc(&mut self, order: u8, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        alloc_migratetype(token, order, Migratetype::Unmovable)
    }

    fn free(&mut self, frame: PhysFrame, order: u8, token: &IrqDisabledToken) {
        free(token, frame, order);
    }
}
