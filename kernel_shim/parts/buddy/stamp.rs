//! What the buddy writes into the slots of a block.

use super::block::Block;
use super::slots::{Slot, Slots};
use crate::zone::Migratetype;

/// Whether a free stores the sentinel that allows the next claim. `No` is an injected fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StampUnused {
    Yes,
    No,
}

/// The flags of a free frame.
fn free_flags<S: Slots>(block: Block) -> u32 {
    match block.home() {
        Migratetype::Movable => S::FREE | S::MOVABLE,
        Migratetype::Unmovable => S::FREE,
    }
}

fn slots_of<S: Slots>(slots: &S, block: Block) -> impl Iterator<Item = &S::Slot> {
    block.pfns().map(|pfn| slots.slot(pfn))
}

/// Turns the slots of a block that nobody ever had into those of free frames. They are on no list, and have no vtable
/// and no guard already.
pub fn free_for_the_first_time<S: Slots>(slots: &S, block: Block) {
    let flags = free_flags::<S>(block);
    for slot in slots_of(slots, block) {
        slot.set_flag_bits(flags);
        slot.set_block_order(block.order);
        slot.set_count(S::UNUSED);
    }
}

/// Turns every slot of a block into that of a free frame. The count comes last: the next claim's Acquire load pairs with it.
pub fn free<S: Slots>(slots: &S, block: Block, unused: StampUnused) {
    let flags = free_flags::<S>(block);
    for slot in slots_of(slots, block) {
        slot.set_flag_bits(flags);
        slot.set_block_order(block.order);
        slot.set_next_link(S::LINK_NONE);
        slot.set_previous_link(S::LINK_NONE);
        slot.forget_owner();
        if unused == StampUnused::Yes {
            slot.set_count(S::UNUSED);
        }
    }
}

/// Stores the order of the free block in every slot of it.
pub fn order<S: Slots>(slots: &S, block: Block) {
    for slot in slots_of(slots, block) {
        slot.set_block_order(block.order);
    }
}

/// Marks a block as handed out. The sentinel stays: `allocate` replaces it, which is the claim.
///
/// The flags are replaced, and a poison flag with them. Only the poison of the guard outlives the time on a free list, as
/// in the real buddy. So a frame module that looks at the flags instead of the guard is found out.
pub fn allocated<S: Slots>(slots: &S, block: Block) {
    let flags = free_flags::<S>(block) & !S::FREE | S::ALLOCATED;
    for slot in slots_of(slots, block) {
        slot.set_flag_bits(flags);
        slot.set_block_order(block.order);
    }
}

/// Takes a block out of circulation: it is neither free (so it gets no sentinel) nor owned. Everything else stays, for the
/// search for the cause of the corruption.
pub fn quarantined<S: Slots>(slots: &S, block: Block) {
    for slot in slots_of(slots, block) {
        slot.clear_flag_bits(S::FREE);
        slot.reset_count();
    }
}

/// Forgets the order, so that the block is none that was handed out.
pub fn no_order<S: Slots>(slots: &S, block: Block) {
    slots_of(slots, block).for_each(|slot| slot.set_block_order(u8::MAX));
}

/// Whether the slot says that its frame is free, on a list or in a cache.
pub fn says_free<S: Slots>(slots: &S, pfn: u64) -> bool {
    slots.slot(pfn).flag_bits() & S::FREE != 0
}
