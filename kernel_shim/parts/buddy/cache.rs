//! The CPUs' caches of single frames: refill, flush, drain.

use super::block::Block;
use super::slots::Slots;
use super::stamp;
use super::state::BuddyState;
use crate::zone::{Migratetype, Zone};
use crate::{paddr_to_pfn, pfn_to_paddr, MAX_CPUS};

/// The number of frames that move between a cache and the lists at once.
const BATCH: usize = 16;

/// A frame out of a cache.
pub struct Cached {
    pub paddr: u64,
    /// Whether it lay in the cache before the request.
    pub hit: bool,
}

impl BuddyState {
    /// A block from the lists of the first zone that has one.
    pub fn take_block<S: Slots>(&mut self, slots: &S, order: u8, migratetype: Migratetype) -> Option<Block> {
        let zones = Zone::preferred(migratetype);
        zones.into_iter().find_map(|zone| self.zones[zone as usize].take(slots, order, migratetype))
    }

    /// A frame from the CPU's cache, which is refilled when it is empty.
    pub fn take_cached<S: Slots>(&mut self, slots: &S, cpu: usize, migratetype: Migratetype) -> Option<Cached> {
        let hit = self.caches[cpu][migratetype.index()].len > 0;
        if !hit {
            self.refill(slots, cpu, migratetype);
        }
        let paddr = self.caches[cpu][migratetype.index()].pop()?;
        self.zone_of(paddr_to_pfn(paddr)).cached -= 1;
        Some(Cached { paddr, hit })
    }

    /// Moves up to a batch from the lists into an empty cache, in reverse, so that frames leave the cache in the order in
    /// which they left the lists. Each frame is in the cache before the next one is taken, which may panic.
    fn refill<S: Slots>(&mut self, slots: &S, cpu: usize, migratetype: Migratetype) {
        for _ in 0..BATCH {
            let Some(block) = self.take_block(slots, 0, migratetype) else {
                break;
            };
            self.caches[cpu][migratetype.index()].push(block.paddr());
            self.zone_of(block.first_pfn).cached += 1;
        }
        self.caches[cpu][migratetype.index()].turn_round();
    }

    /// Makes the CPU's cache ready for a frame.
    ///
    /// # Panics
    /// As [`Self::flush_oldest`].
    pub fn make_room<S: Slots>(&mut self, slots: &S, cpu: usize, pfn: u64) {
        let home = Migratetype::home(pfn).index();
        if self.caches[cpu][home].is_full() {
            for _ in 0..BATCH {
                self.flush_oldest(slots, cpu, home);
            }
        }
    }

    /// Puts a frame that is stamped free into the CPU's cache, which has room. It does not look whether the frame is in
    /// there already: a cache exists to save such searches.
    pub fn put_cached(&mut self, cpu: usize, pfn: u64) {
        let home = Migratetype::home(pfn).index();
        self.caches[cpu][home].push(pfn_to_paddr(pfn));
        self.zone_of(pfn).cached += 1;
    }

    /// Puts the frames in the caches of all CPUs back on the lists, and returns their number.
    pub fn drain<S: Slots>(&mut self, slots: &S) -> u64 {
        let mut drained = 0;
        for cpu in 0..MAX_CPUS {
            for list in 0..Migratetype::COUNT {
                while self.flush_oldest(slots, cpu, list) {
                    drained += 1;
                }
            }
        }
        drained
    }

    /// Moves one frame from a cache to its list. Returns false when the cache is empty.
    ///
    /// # Panics
    /// When the frame is not free any more, or on a list already: it was freed twice. Then it has left the cache, and the
    /// lists are unchanged.
    fn flush_oldest<S: Slots>(&mut self, slots: &S, cpu: usize, list: usize) -> bool {
        let Some(paddr) = self.caches[cpu][list].pop_oldest() else {
            return false;
        };
        let block = Block::frame(paddr_to_pfn(paddr));
        let zone = self.zone_of(block.first_pfn);
        zone.cached -= 1;
        assert!(
            stamp::says_free(slots, block.first_pfn),
            "buddy: double free: {block} lies in the cache of cpu {cpu} and is in use"
        );
        zone.insert(slots, block);
        true
    }

    /// Takes a particular frame out of the cache that it lies in.
    pub fn take_from_any_cache(&mut self, pfn: u64) -> bool {
        let found = self.caches.iter_mut().flatten().any(|cache| cache.remove(pfn_to_paddr(pfn)));
        if found {
            self.zone_of(pfn).cached -= 1;
        }
        found
    }
}
