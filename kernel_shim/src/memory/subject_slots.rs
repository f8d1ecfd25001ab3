//! The subject's slots, as the buddy accesses them.

#[cfg(older)]
use super::subject::SlotMethods as _;
use super::subject::{
    block_phys_has_poison_guard, frame_flags, get_meta, MetaSlot, FRAME_META_LINK_NONE, REFCOUNT_UNUSED,
};
use core::sync::atomic::Ordering::AcqRel;
use shim_parts::buddy::block::Block;
use shim_parts::buddy::slots::{Slot, Slots};
use shim_parts::pfn_to_paddr;
use x86_64::PhysAddr;

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
        get_meta(PhysAddr::new(pfn_to_paddr(pfn)))
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
