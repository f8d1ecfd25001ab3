//! The buddy allocator over the subject's slots, behind one lock.

use super::cpu_lock::{CpuLock, Held};
use super::hooks;
#[cfg(older)]
use super::subject::SlotMethods as _;
use super::subject::{
    block_phys_has_poison_guard, frame_flags, get_meta, AllocError, FrameAllocator, MetaSlot, PhysFrame,
    FRAME_META_LINK_NONE, REFCOUNT_UNUSED,
};
use crate::arch::cpu;
use crate::memory_map;
use crate::sync::{with_irqs_disabled, IrqDisabledToken};
use core::ptr;
use core::sync::atomic::Ordering::AcqRel;
use shim_parts::buddy::block::Block;
use shim_parts::buddy::slots::{Slot, Slots};
use shim_parts::frame_ranges::FrameRanges;
use shim_parts::stops::Stop;
use shim_parts::zone::{Migratetype, MAX_ORDER};
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

pub static BUDDY: CpuLock<Buddy> = CpuLock::new(Buddy::new(SubjectSlots));

pub type Buddy = shim_parts::buddy::Buddy<SubjectSlots>;

/// The slots of the subject's table.
pub struct SubjectSlots;

impl Slots for SubjectSlots {
    const LINK_NONE: u64 = FRAME_META_LINK_NONE;
    const UNUSED: u32 = REFCOUNT_UNUSED;
    const FREE: u32 = frame_flags::FREE;
    const ALLOCATED: u32 = frame_flags::ALLOCATED;
    const MOVABLE: u32 = frame_flags::MOVABLE;

    type Slot = MetaSlot;

    #[inline]
    fn slot(&self, pfn: u64) -> &MetaSlot {
        get_meta(PhysAddr::new(pfn * PAGE_SIZE))
    }

    fn is_poisoned(&self, block: Block) -> bool {
        block_phys_has_poison_guard(block.paddr(), block.order)
    }
}

impl Slot for MetaSlot {
    #[inline]
    fn next_link(&self) -> u64 {
        self.next()
    }

    #[inline]
    fn set_next_link(&self, link: u64) {
        self.set_next(link);
    }

    #[inline]
    fn previous_link(&self) -> u64 {
        self.prev()
    }

    #[inline]
    fn set_previous_link(&self, link: u64) {
        self.set_prev(link);
    }

    #[inline]
    fn block_order(&self) -> u8 {
        self.get_order()
    }

    #[inline]
    fn set_block_order(&self, order: u8) {
        self.set_order(order);
    }

    #[inline]
    fn flag_bits(&self) -> u32 {
        self.get_flags()
    }

    #[inline]
    fn set_flag_bits(&self, bits: u32) {
        self.set_flags(bits);
    }

    /// An atomic step instead of a store, so that a mark that is set at the same moment stays. AcqRel: Release pairs with
    /// the Acquire load in `get_flags`, Acquire orders it behind the mark that it keeps.
    #[inline]
    fn clear_flag_bits(&self, bits: u32) {
        self.flags.fetch_and(!bits, AcqRel);
    }

    #[inline]
    fn set_count(&self, count: u32) {
        self.set_refcount(count);
    }

    #[inline]
    fn reset_count(&self) {
        self.reset_refcount();
    }

    #[inline]
    fn forget_owner(&self) {
        self.reset_with_free_list_meta();
    }
}

/// A block of `2^order` frames of that migratetype.
pub fn alloc_migratetype(
    token: &IrqDisabledToken,
    order: u8,
    migratetype: Migratetype,
) -> Result<PhysFrame, AllocError> {
    if order as usize > MAX_ORDER {
        return Err(AllocError::InvalidOrder);
    }
    let pfn = lock(token).alloc(cpu::index(), order, migratetype).ok_or(AllocError::OutOfMemory)?;
    Ok(PhysFrame { start_address: PhysAddr::new(pfn * PAGE_SIZE) })
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
    lock(token).free(cpu::index(), frame.start_address.as_u64(), order);
}

/// Runs `f` on the state, with interrupts disabled and the lock held.
pub fn with<R>(f: impl FnOnce(&mut Buddy) -> R) -> R {
    with_irqs_disabled(|token| f(&mut lock(token)))
}

/// Waits for the state. The token keeps an interrupt of this CPU from waiting for the lock that the CPU holds itself.
fn lock(_token: &IrqDisabledToken) -> Held<'static, Buddy> {
    BUDDY.lock()
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
