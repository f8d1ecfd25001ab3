//! The slots of the frames, as the buddy accesses them.
//!
//! In the kernel they are the subject's slots, reached through the subject's own methods. The tests have plain ones.

use super::block::Block;

/// A table with one slot for each frame. The constants are the subject's.
pub trait Slots {
    /// The link that ends a free list.
    const LINK_NONE: u64;
    /// The reference count of a frame that the buddy owns.
    const UNUSED: u32;
    /// The flags of a frame that is free, that was handed out, that is on the list of the movable.
    const FREE: u32;
    const ALLOCATED: u32;
    const MOVABLE: u32;

    type Slot: Slot;

    /// # Panics
    /// When there is no slot for `pfn`.
    fn slot(&self, pfn: u64) -> &Self::Slot;

    /// Whether a frame of the block was marked as poisoned.
    fn is_poisoned(&self, block: Block) -> bool;
}

/// One frame's metadata. The names differ from those of the subject's methods, so that no call can mean the wrong one.
pub trait Slot {
    fn next_link(&self) -> u64;
    fn set_next_link(&self, link: u64);
    fn previous_link(&self) -> u64;
    fn set_previous_link(&self, link: u64);
    fn block_order(&self) -> u8;
    fn set_block_order(&self, order: u8);
    fn flag_bits(&self) -> u32;
    fn set_flag_bits(&self, bits: u32);
    /// Clears flags in one atomic step.
    fn clear_flag_bits(&self, bits: u32);
    fn set_count(&self, count: u32);
    fn reset_count(&self);
    /// Removes the traces of the last owner.
    fn forget_owner(&self);
}
