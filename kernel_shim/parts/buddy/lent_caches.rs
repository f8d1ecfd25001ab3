//! What a CPU does by itself while several CPUs work: it takes single frames out of its own caches and puts them back.
//!
//! The buddy lends a CPU its caches for that. Whatever needs more than a cache, or an exact number of free frames, needs the
//! whole buddy, with all caches back.

use super::block::Block;
use super::slots::{Slot as _, Slots};
use super::stamp::{self, StampUnused};
use super::state::{BuddyState, FrameCache};
use crate::zone::{Migratetype, Zone};
use crate::{paddr_to_pfn, PAGE_SIZE};

/// The caches of one CPU, while it has them.
pub struct LentCaches {
    caches: [FrameCache; Migratetype::COUNT],
    /// By zone: frames handed out, less those that came back. The zone's own counters do not know of them.
    handed_out: [i64; Zone::COUNT],
    n_slots: u64,
}

impl BuddyState {
    /// Lends a CPU its caches.
    pub fn lend(&mut self, cpu: usize, lent: &mut LentCaches) {
        lent.n_slots = self.zones.iter().map(|zone| zone.end_pfn).max().unwrap_or(0);
        move_all(&mut self.caches[cpu], &mut lent.caches);
    }

    /// Takes the caches of some CPUs back, and counts what they handed out, all together: a frame may come back to another CPU
    /// than the one that handed it out. The counter saturates as in
    /// [`ZoneState::note_returned`](super::state::ZoneState::note_returned).
    pub fn take_back<'a>(&mut self, lent: impl Iterator<Item = (usize, &'a mut LentCaches)>) {
        let mut sums = [0; Zone::COUNT];
        for (cpu, caches) in lent {
            move_all(&mut caches.caches, &mut self.caches[cpu]);
            for (sum, handed_out) in sums.iter_mut().zip(&mut caches.handed_out) {
                *sum += core::mem::take(handed_out);
            }
        }
        for (zone, sum) in self.zones.iter_mut().zip(sums) {
            zone.cached = zone.cached.wrapping_add_signed(-sum);
            zone.allocated = zone.allocated.saturating_add_signed(sum);
        }
    }
}

impl LentCaches {
    pub const fn new() -> Self {
        Self { caches: [const { FrameCache::new() }; Migratetype::COUNT], handed_out: [0; Zone::COUNT], n_slots: 0 }
    }

    /// Hands out a frame of the cache, and returns its number. None: the cache is empty.
    pub fn alloc<S: Slots>(&mut self, slots: &S, migratetype: Migratetype) -> Option<u64> {
        let pfn = paddr_to_pfn(self.caches[migratetype.index()].pop()?);
        stamp::allocated(slots, Block::frame(pfn));
        self.handed_out[Zone::of(pfn) as usize] += 1;
        Some(pfn)
    }

    /// Takes a frame back. False, and nothing has changed, where that takes a look at more than its slot: it may never have
    /// been handed out, is free already, is poisoned, or there is no room.
    pub fn free<S: Slots>(&mut self, slots: &S, paddr: u64) -> bool {
        let pfn = paddr_to_pfn(paddr);
        let cache = &mut self.caches[Migratetype::home(pfn).index()];
        if paddr % PAGE_SIZE != 0 || pfn >= self.n_slots || cache.is_full() || !is_given(slots, pfn) {
            return false;
        }
        stamp::free(slots, Block::frame(pfn), StampUnused::Yes);
        cache.push(paddr);
        self.handed_out[Zone::of(pfn) as usize] -= 1;
        true
    }
}

/// Whether a slot says that its frame was handed out alone, and that it is sound.
fn is_given<S: Slots>(slots: &S, pfn: u64) -> bool {
    let slot = slots.slot(pfn);
    slot.flag_bits() & (S::FREE | S::ALLOCATED) == S::ALLOCATED
        && slot.block_order() == 0
        && !slots.is_poisoned(Block::frame(pfn))
}

fn move_all(from: &mut [FrameCache; Migratetype::COUNT], to: &mut [FrameCache; Migratetype::COUNT]) {
    for (from, to) in from.iter_mut().zip(to) {
        from.frames().iter().for_each(|&paddr| to.push(paddr));
        from.len = 0;
    }
}
