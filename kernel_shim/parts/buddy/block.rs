//! A block: `2^order` frames, the first of them at a multiple of that.

use crate::zone::{Migratetype, MAX_ORDER};
use crate::{paddr_to_pfn, pfn_to_paddr, PAGE_SIZE};
use core::fmt;
use core::ops::Range;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Block {
    pub first_pfn: u64,
    pub order: u8,
}

impl Block {
    /// A single frame.
    pub const fn frame(pfn: u64) -> Self {
        Self { first_pfn: pfn, order: 0 }
    }

    /// The block of that order that `pfn` lies in.
    pub const fn containing(pfn: u64, order: u8) -> Self {
        Self { first_pfn: pfn >> order << order, order }
    }

    /// `None` when no block of that order starts at `paddr`.
    pub fn starting_at(paddr: u64, order: u8) -> Option<Self> {
        if order as usize > MAX_ORDER || paddr % (PAGE_SIZE << order) != 0 {
            return None;
        }
        Some(Self { first_pfn: paddr_to_pfn(paddr), order })
    }

    /// The largest block that ends at `end_pfn` and starts no earlier than `first_pfn`.
    pub fn largest_before(end_pfn: u64, first_pfn: u64) -> Self {
        let aligned = end_pfn.trailing_zeros().min(MAX_ORDER as u32);
        let fitting = (end_pfn - first_pfn).ilog2();
        let order = aligned.min(fitting) as u8;
        Self { first_pfn: end_pfn - (1 << order), order }
    }

    pub const fn paddr(self) -> u64 {
        pfn_to_paddr(self.first_pfn)
    }

    /// The number of frames.
    pub const fn n_frames(self) -> u64 {
        1 << self.order
    }

    pub const fn pfns(self) -> Range<u64> {
        self.first_pfn..self.first_pfn + self.n_frames()
    }

    /// The other half of the block that this one was split from.
    pub const fn buddy(self) -> Self {
        Self { first_pfn: self.first_pfn ^ self.n_frames(), order: self.order }
    }

    /// This block and its buddy together.
    pub const fn parent(self) -> Self {
        Self::containing(self.first_pfn, self.order + 1)
    }

    /// The parts of `block`, which contains this one, without this one: one block of each order between, the largest first.
    pub fn rest_of(self, block: Self) -> impl Iterator<Item = Self> {
        (self.order..block.order).rev().map(move |order| Self::containing(self.first_pfn, order).buddy())
    }

    pub fn home(self) -> Migratetype {
        Migratetype::home(self.first_pfn)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {:#x} of order {}", self.paddr(), self.order)
    }
}
