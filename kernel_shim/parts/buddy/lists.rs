//! The free lists of a zone: push, unlink, split, coalesce.
//!
//! The links live in slots, where anything may have been written to them, by the subject or through it.
//! Every link is checked before it is followed and before anything is changed: corruption is a panic that
//! says where, never a wild access and never a list that is worse than before.

use super::block::Block;
use super::stamp::{self, slot};
use super::state::{ZoneState, LINK_NONE};
use crate::memory::subject::{MetaSlot, PAGE_SIZE};
use crate::memory::zone::{Migratetype, MAX_ORDER};

impl ZoneState {
    /// Takes a block of that order, split from a larger one when none is free: from the lists of its
    /// own migratetype, then from those of the other.
    pub fn take(&mut self, order: u8, migratetype: Migratetype) -> Option<Block> {
        migratetype.fallbacks().into_iter().find_map(|list| self.take_from(order, list))
    }

    fn take_from(&mut self, order: u8, list: Migratetype) -> Option<Block> {
        let heads = &self.heads[list.index()];
        let found = (order..=MAX_ORDER as u8).find(|&k| heads[k as usize] != LINK_NONE)?;
        let block = self.listed_block(heads[found as usize], found);
        let taken = Block { first_pfn: block.first_pfn, order };
        self.carve(block, taken);
        if taken != block {
            stamp::order(taken);
        }
        Some(taken)
    }

    /// Takes the single frame `pfn` out of the free block that it lies in, if it does. The order in the frame's own
    /// slot is left as it is; only what stays behind is told its new one.
    pub fn take_frame(&mut self, pfn: u64) -> Option<Block> {
        let block = self.block_covering(pfn)?;
        self.carve(block, Block::frame(pfn));
        Some(Block::frame(pfn))
    }

    /// Takes a block off its list, puts all of it back but `taken`. Each part goes onto a list of another order, so
    /// what is checked first holds until it is relied on.
    fn carve(&mut self, block: Block, taken: Block) {
        self.neighbors(block);
        for part in taken.rest_of(block) {
            self.first_on_list_of(part);
        }
        self.unlink(block);
        for part in taken.rest_of(block) {
            stamp::order(part);
            self.push(part);
        }
    }

    /// Puts a block on its list, coalesced with every free buddy it meets. Its slots must have been
    /// stamped free, those of a coalesced block all get the new order.
    ///
    /// # Panics
    /// As [`Self::coalesced`], with nothing changed.
    pub fn insert(&mut self, block: Block) {
        let merged = self.coalesced(block);
        let mut part = block;
        while part != merged {
            self.unlink(part.buddy());
            part = part.parent();
        }
        if merged != block {
            stamp::order(merged);
        }
        self.push(merged);
    }

    /// What becomes of a block that is inserted.
    ///
    /// # Panics
    /// When the block is on a list already, and when a link that its insertion follows is broken.
    pub fn coalesced(&self, block: Block) -> Block {
        if let Some(listed) = self.block_covering(block.first_pfn) {
            panic!("buddy: double free: {block} is on a free list already, in {listed}");
        }
        let mut merged = block;
        while (merged.order as usize) < MAX_ORDER && self.is_listed(merged.buddy()) {
            self.neighbors(merged.buddy());
            merged = merged.parent();
        }
        self.first_on_list_of(merged);
        merged
    }

    /// The free block on a list that `pfn` lies in.
    pub fn block_covering(&self, pfn: u64) -> Option<Block> {
        let order = slot(pfn).get_order();
        if order as usize > MAX_ORDER {
            return None;
        }
        let block = Block::containing(pfn, order);
        self.is_listed(block).then_some(block)
    }

    /// Whether exactly this block is on its list. A frame in a CPU's cache says free as well, so the
    /// links decide: whoever is on a list has a predecessor or is its head.
    fn is_listed(&self, block: Block) -> bool {
        let pfns = block.pfns();
        if pfns.start < self.first_pfn || pfns.end > self.end_pfn || !stamp::says_free(pfns.start) {
            return false;
        }
        let head = slot(block.first_pfn);
        head.get_order() == block.order && (head.prev() != LINK_NONE || self.head(block) == block.paddr())
    }

    fn head(&self, block: Block) -> u64 {
        self.heads[block.home().index()][block.order as usize]
    }

    fn set_head(&mut self, block: Block, paddr: u64) {
        self.heads[block.home().index()][block.order as usize] = paddr;
    }

    pub(super) fn push(&mut self, block: Block) {
        let this = slot(block.first_pfn);
        if let Some(first) = self.first_on_list_of(block) {
            slot(first.first_pfn).set_prev(block.paddr());
        }
        this.set_next(self.head(block));
        this.set_prev(LINK_NONE);
        self.set_head(block, block.paddr());
        self.free += block.len();
    }

    fn unlink(&mut self, block: Block) {
        let this = slot(block.first_pfn);
        let (next, prev) = (this.next(), this.prev());
        let (before, after) = self.neighbors(block);
        if let Some(after) = after {
            after.set_prev(prev);
        }
        match before {
            Some(before) => before.set_next(next),
            None => self.set_head(block, next),
        }
        this.set_next(LINK_NONE);
        this.set_prev(LINK_NONE);
        self.free -= block.len();
    }

    /// The first block on the list that a block belongs on.
    fn first_on_list_of(&self, block: Block) -> Option<Block> {
        let head = self.head(block);
        (head != LINK_NONE).then(|| self.listed_block(head, block.order))
    }

    /// The slots before and behind a listed block.
    ///
    /// # Panics
    /// When they do not lead back to it.
    fn neighbors(&self, block: Block) -> (Option<&'static MetaSlot>, Option<&'static MetaSlot>) {
        let this = slot(block.first_pfn);
        let (next, prev) = (this.next(), this.prev());
        let before = (prev != LINK_NONE).then(|| slot(self.listed_block(prev, block.order).first_pfn));
        let after = (next != LINK_NONE).then(|| slot(self.listed_block(next, block.order).first_pfn));
        let pointing_here = before.map_or(self.head(block), |before| before.next());
        expect_link(block, "is pointed to by the list before it", block.paddr(), pointing_here);
        if let Some(after) = after {
            expect_link(block, "is pointed to by the list behind it", block.paddr(), after.prev());
        }
        (before, after)
    }

    /// The block that a link of a list of that order leads to.
    ///
    /// # Panics
    /// When it leads to anything but a free block of this zone and order.
    pub fn listed_block(&self, link: u64, order: u8) -> Block {
        let pfn = link / PAGE_SIZE;
        match Block::starting_at(link, order) {
            Some(block)
                if (self.first_pfn..self.end_pfn).contains(&pfn)
                    && stamp::says_free(pfn)
                    && slot(pfn).get_order() == order =>
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
