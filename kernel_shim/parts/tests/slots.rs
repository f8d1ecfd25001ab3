//! A table of plain slots, for the tests of the buddy.

use crate::buddy::block::Block;
use crate::buddy::slots::{Slot, Slots};
use crate::buddy::Buddy;
use crate::frame_ranges::FrameRanges;
use core::cell::Cell;
use core::ops::Range;
use std::boxed::Box;
use std::vec::Vec;

pub const NONE: u64 = u64::MAX;
pub const UNUSED: u32 = u32::MAX;
pub const FREE: u32 = 1 << 9;
pub const ALLOCATED: u32 = 1 << 8;

pub fn ranges(frames: &[Range<u64>]) -> FrameRanges {
    let mut list = FrameRanges::new();
    frames.iter().for_each(|range| list.push(range.clone()));
    list
}

#[derive(Default)]
pub struct PlainSlot {
    pub next: Cell<u64>,
    pub previous: Cell<u64>,
    pub order: Cell<u8>,
    pub flags: Cell<u32>,
    pub count: Cell<u32>,
    pub poisoned: Cell<bool>,
}

pub struct Table(Vec<PlainSlot>);

/// A buddy over the slots of `n_slots` frames, which manages `frames`.
pub fn buddy(n_slots: u64, frames: &[Range<u64>]) -> (Box<Buddy<&'static Table>>, &'static Table) {
    let new = || PlainSlot { next: Cell::new(NONE), previous: Cell::new(NONE), ..PlainSlot::default() };
    let table: &'static Table = Box::leak(Box::new(Table((0..n_slots).map(|_| new()).collect())));
    let mut buddy = Box::new(Buddy::new(table));
    buddy.populate(ranges(frames), &ranges(&[0..n_slots]), n_slots);
    (buddy, table)
}

impl Table {
    pub fn at(&self, pfn: u64) -> &PlainSlot {
        &self.0[pfn as usize]
    }
}

impl Slots for &'static Table {
    const LINK_NONE: u64 = NONE;
    const UNUSED: u32 = UNUSED;
    const FREE: u32 = FREE;
    const ALLOCATED: u32 = ALLOCATED;
    const MOVABLE: u32 = 1 << 13;

    type Slot = PlainSlot;

    fn slot(&self, pfn: u64) -> &PlainSlot {
        self.at(pfn)
    }

    fn is_poisoned(&self, block: Block) -> bool {
        block.pfns().any(|pfn| self.at(pfn).poisoned.get())
    }
}

macro_rules! cells {
    ($($get:ident $set:ident $cell:ident: $type:ty;)*) => { $(
        fn $get(&self) -> $type {
            self.$cell.get()
        }

        fn $set(&self, value: $type) {
            self.$cell.set(value);
        }
    )* };
}

impl Slot for PlainSlot {
    cells! {
        next_link set_next_link next: u64;
        previous_link set_previous_link previous: u64;
        block_order set_block_order order: u8;
        flag_bits set_flag_bits flags: u32;
    }

    fn clear_flag_bits(&self, bits: u32) {
        self.flags.set(self.flags.get() & !bits);
    }

    fn set_count(&self, count: u32) {
        self.count.set(count);
    }

    fn reset_count(&self) {
        self.count.set(0);
    }

    fn forget_owner(&self) {
        self.poisoned.set(false);
    }
}
