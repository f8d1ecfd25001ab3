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

/// The buddy's name for a method of the subject, and the subject's own.
macro_rules! methods {
    ($($ours:ident = $theirs:ident($($argument:ident: $type:ty)?) $(-> $result:ty)?;)*) => { $(
        #[inline]
        fn $ours(&self $(, $argument: $type)?) $(-> $result)? {
            self.$theirs($($argument)?)
        }
    )* };
}

impl Slot for MetaSlot {
    methods! {
        next_link = next() -> u64;
        set_next_link = set_next(link: u64);
        previous_link = prev() -> u64;
        set_previous_link = set_prev(link: u64);
        block_order = get_order() -> u8;
        set_block_order = set_order(order: u8);
        flag_bits = get_flags() -> u32;
        set_flag_bits = set_flags(bits: u32);
        set_count = set_refcount(count: u32);
        reset_count = reset_refcount();
        forget_owner = reset_with_free_list_meta();
    }

    /// An atomic step instead of a store, so that a mark that is set at the same moment stays. AcqRel: Release pairs with
    /// the Acquire load in `get_flags`, Acquire orders it behind the mark that it keeps.
    #[inline]
    fn clear_flag_bits(&self, bits: u32) {
        self.flags.fetch_and(!bits, AcqRel);
    }
}
