//! The free lists of a zone: push, unlink, split, coalesce.
//!
//! The links lie in slots, where the subject may have overwritten them. Every link is checked before it is followed and
//! before anything is changed. So corruption is a panic that names the place, never a wild access, and damages no more.

use super::block::Block;
use super::slots::{Slot, Slots};
use super::stamp;
use super::state::ZoneState;
use crate::paddr_to_pfn;
use crate::zone::{Migratetype, MAX_ORDER};

impl ZoneState {
    /// Takes a block of that order, from the lists of its own migratetype, then the other's; splits a larger one if none is free.
    pub fn take<S: Slots>(&mut self, slots: &S, order: u8, migratetype: Migratetype) -> Option<Block> {
        migratetype.fallbacks().into_iter().find_map(|list| self.take_from(slots, order, list))
    }

    fn take_from<S: Slots>(&mut self, slots: &S, order: u8, list: Migratetype) -> Option<Block> {
        let heads = &self.heads[list.index()];
        let found = (order..=MAX_ORDER as u8).find(|&k| heads[k as usize] != S::LINK_NONE)?;
        let block = self.listed_block(slots, heads[found as usize], found);
        let taken = Block { first_pfn: block.first_pfn, order };
        self.carve(slots, block, taken);
        if taken != block {
            stamp::order(slots, taken);
        }
        Some(taken)
    }

    /// Takes the single frame `pfn` out of the free block that it lies in. The order in the frame's own slot stays as it is.
    /// Only the slots of the parts that stay get their new order.
    pub fn take_frame<S: Slots>(&mut self, slots: &S, pfn: u64) -> Option<Block> {
        let block = self.block_covering(slots, pfn)?;
        self.carve(slots, block, Block::frame(pfn));
        Some(Block::frame(pfn))
    }

    /// Takes a block off its list and puts back all parts of it except `taken`. Each part goes onto a list of another order,
    /// so the links that were checked first are still valid when they are used.
    fn carve<S: Slots>(&mut self, slots: &S, block: Block, taken: Block) {
        self.neighbors(slots, block);
        for part in taken.rest_of(block) {
            self.first_on_list_of(slots, part);
        }
        self.unlink(slots, block);
        for part in taken.rest_of(block) {
            stamp::order(slots, part);
            self.push(slots, part);
        }
    }

    /// Puts a block on its list, coalesced with every free buddy that it meets. Its slots must have been stamped free. All
    /// slots of a coalesced block get the new order.
    ///
    /// # Panics
    /// As [`Self::coalesced`], with nothing changed.
    pub fn insert<S: Slots>(&mut self, slots: &S, block: Block) {
        let merged = self.coalesced(slots, block);
        let mut part = block;
        while part != merged {
            self.unlink(slots, part.buddy());
            part = part.parent();
        }
        if merged != block {
            stamp::order(slots, merged);
        }
        self.push(slots, merged);
    }

    /// The block that a block becomes when it is inserted.
    ///
    /// # Panics
    /// When the block is on a list already, and when a link that its insertion follows is broken.
    pub fn coalesced<S: Slots>(&self, slots: &S, block: Block) -> Block {
        if let Some(listed) = self.block_covering(slots, block.first_pfn) {
            panic!("buddy: double free: {block} is on a free list already, in {listed}");
        }
        let mut merged = block;
        while (merged.order as usize) < MAX_ORDER && self.is_listed(slots, merged.buddy()) {
            self.neighbors(slots, merged.buddy());
            merged = merged.parent();
        }
        self.first_on_list_of(slots, merged);
        merged
    }

    /// The free block on a list that `pfn` lies in.
    pub fn block_covering<S: Slots>(&self, slots: &S, pfn: u64) -> Option<Block> {
        let order = slots.slot(pfn).block_order();
        if order as usize > MAX_ORDER {
            return None;
        }
        let block = Block::containing(pfn, order);
        self.is_listed(slots, block).then_some(block)
    }

    /// Whether exactly this block is on its list. A frame in a CPU's cache is marked free as well, so the links decide: a
    /// block on a list has a predecessor or is the head.
    fn is_listed<S: Slots>(&self, slots: &S, block: Block) -> bool {
        let pfns = block.pfns();
        if pfns.start < self.first_pfn || pfns.end > self.end_pfn || !stamp::says_free(slots, pfns.start) {
            return false;
        }
        let head = slots.slot(block.first_pfn);
        head.block_order() == block.order && (head.previous_link() != S::LINK_NONE || self.head(block) == block.paddr())
    }

    fn head(&self, block: Block) -> u64 {
        self.heads[block.home().index()][block.order as usize]
    }

    fn set_head(&mut self, block: Block, paddr: u64) {
        self.heads[block.home().index()][block.order as usize] = paddr;
    }

    pub(super) fn push<S: Slots>(&mut self, slots: &S, block: Block) {
        let this = slots.slot(block.first_pfn);
        if let Some(first) = self.first_on_list_of(slots, block) {
            slots.slot(first.first_pfn).set_previous_link(block.paddr());
        }
        this.set_next_link(self.head(block));
        this.set_previous_link(S::LINK_NONE);
        self.set_head(block, block.paddr());
        self.free += block.n_frames();
    }

    fn unlink<S: Slots>(&mut self, slots: &S, block: Block) {
        let this = slots.slot(block.first_pfn);
        let (next, prev) = (this.next_link(), this.previous_link());
        let (before, after) = self.neighbors(slots, block);
        if let Some(after) = after {
            after.set_previous_link(prev);
        }
        match before {
            Some(before) => before.set_next_link(next),
            None => self.set_head(block, next),
        }
        this.set_next_link(S::LINK_NONE);
        this.set_previous_link(S::LINK_NONE);
        self.free -= block.n_frames();
    }

    /// The first block on the list that a block belongs on.
    fn first_on_list_of<S: Slots>(&self, slots: &S, block: Block) -> Option<Block> {
        let head = self.head(block);
        (head != S::LINK_NONE).then(|| self.listed_block(slots, head, block.order))
    }

    /// The slots before and behind a listed block.
    ///
    /// # Panics
    /// When they do not lead back to it.
    fn neighbors<'s, S: Slots>(&self, slots: &'s S, block: Block) -> (Option<&'s S::Slot>, Option<&'s S::Slot>) {
        let this = slots.slot(block.first_pfn);
        let (next, prev) = (this.next_link(), this.previous_link());
        let before = (prev != S::LINK_NONE).then(|| slots.slot(self.listed_block(slots, prev, block.order).first_pfn));
        let after = (next != S::LINK_NONE).then(|| slots.slot(self.listed_block(slots, next, block.order).first_pfn));
        let pointing_here = before.map_or(self.head(block), |before| before.next_link());
        expect_link(block, "is pointed to by the list before it", block.paddr(), pointing_here);
        if let Some(after) = after {
            expect_link(block, "is pointed to by the list behind it", block.paddr(), after.previous_link());
        }
        (before, after)
    }

    /// The block that a link of a list of that order leads to.
    ///
    /// # Panics
    /// When it leads to anything but a free block of this zone and order.
    pub fn listed_block<S: Slots>(&self, slots: &S, link: u64, order: u8) -> Block {
        let pfn = paddr_to_pfn(link);
        match Block::starting_at(link, order) {
            Some(block)
                if (self.first_pfn..self.end_pfn).contains(&pfn)
                    && stamp::says_free(slots, pfn)
                    && slots.slot(pfn).block_order() == order =>
            {
                block
            }
            _ => panic!(
                "buddy: a free list of order {order} leads to {link:#x}, expected a free block of it (free-list corruption)"
            ),
        }
    }
}

fn expect_link(block: Block, what: &str, expected: u64, found: u64) {
    assert!(
        found == expected,
        "buddy: {block} {what}: expected {expected:#x}, found {found:#x} (free-list corruption)"
    );
}
