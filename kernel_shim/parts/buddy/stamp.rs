//! What the buddy writes into the slots of a block, through the subject's own methods.

use super::block::Block;
use super::state::LINK_NONE;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{frame_flags, get_meta, MetaSlot, PAGE_SIZE, REFCOUNT_UNUSED};
use crate::memory::zone::Migratetype;
use core::sync::atomic::Ordering::AcqRel;
use x86_64::PhysAddr;

/// Whether a free stamps the sentinel that allows the next claim; `No` is an injected fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StampUnused {
    Yes,
    No,
}

/// # Panics
/// When there is no slot for `pfn`.
pub fn slot(pfn: u64) -> &'static MetaSlot {
    get_meta(PhysAddr::new(pfn * PAGE_SIZE))
}

/// The flags of a free frame.
fn free_flags(block: Block) -> u32 {
    match block.home() {
        Migratetype::Movable => frame_flags::FREE | frame_flags::MOVABLE,
        Migratetype::Unmovable => frame_flags::FREE,
    }
}

/// Turns the slots of a block that nobody ever had into those of free frames: on no list, without vtable
/// and guard they are already.
pub fn free_for_the_first_time(block: Block) {
    let flags = free_flags(block);
    for slot in block.pfns().map(slot) {
        slot.set_flags(flags);
        slot.set_order(block.order);
        slot.set_refcount(REFCOUNT_UNUSED);
    }
}

/// Turns every slot of a block into that of a free frame. The count comes last, as its store is what the
/// next claim's Acquire load pairs with.
pub fn free(block: Block, unused: StampUnused) {
    let flags = free_flags(block);
    for slot in block.pfns().map(slot) {
        slot.set_flags(flags);
        slot.set_order(block.order);
        slot.set_next(LINK_NONE);
        slot.set_prev(LINK_NONE);
        slot.reset_with_free_list_meta();
        if unused == StampUnused::Yes {
            slot.set_refcount(REFCOUNT_UNUSED);
        }
    }
}

/// Says in every slot how large the free block is by now.
pub fn order(block: Block) {
    for slot in block.pfns().map(slot) {
        slot.set_order(block.order);
    }
}

/// Marks a block as handed out. The sentinel stays: replacing it is the claim that `allocate` makes.
///
/// The flags are replaced, their poison with them: only the guard's outlives the time on a free list, as in
/// the real buddy, so a frame module that asks the flags is found out.
pub fn allocated(block: Block) {
    let flags = free_flags(block) & !frame_flags::FREE | frame_flags::ALLOCATED;
    for slot in block.pfns().map(slot) {
        slot.set_flags(flags);
        slot.set_order(block.order);
    }
}

/// Takes a block out of circulation: neither free (so no sentinel) nor anybody's, and all else is left
/// for whoever looks into the corruption.
///
/// An atomic step rather than a store, so that a mark stays that is set at the same moment. AcqRel: Release pairs with
/// the Acquire load in `get_flags`, Acquire orders it behind the mark that it keeps.
pub fn quarantined(block: Block) {
    for slot in block.pfns().map(slot) {
        slot.flags.fetch_and(!frame_flags::FREE, AcqRel);
        slot.reset_refcount();
    }
}

/// Whether the slot says that its frame is free, on a list or in a cache.
pub fn says_free(pfn: u64) -> bool {
    slot(pfn).get_flags() & frame_flags::FREE != 0
}
