//! The state of the buddy, in a layout that the host reads from guest RAM.

use crate::zone::{Migratetype, Zone, MAX_ORDER};
use crate::MAX_CPUS;

/// The largest number of frames in a CPU's cache.
pub const CACHE_CAPACITY: usize = 64;

/// Everything except the links, which lie in the slots of the free blocks' first frames.
#[repr(C)]
pub struct BuddyState {
    pub n_zones: u64,
    pub zones: [ZoneState; Zone::COUNT],
    /// By CPU, then by migratetype.
    pub caches: [[FrameCache; Migratetype::COUNT]; MAX_CPUS],
}

/// One zone: the number of its frames in each state (the sum is `managed`), and its free lists.
#[repr(C)]
pub struct ZoneState {
    pub first_pfn: u64,
    pub end_pfn: u64,
    /// All frames of RAM.
    pub managed: u64,
    /// On a free list.
    pub free: u64,
    /// In a CPU's cache.
    pub cached: u64,
    /// Handed out.
    pub allocated: u64,
    /// Came back poisoned.
    pub quarantined: u64,
    /// Never given to the buddy.
    pub reserved: u64,
    /// By migratetype, then by order: physical address of the first block on the list.
    pub heads: [[u64; MAX_ORDER + 1]; Migratetype::COUNT],
}

/// The single free frames that one CPU keeps. The last one in is the first one out.
#[repr(C)]
pub struct FrameCache {
    pub len: u64,
    /// Physical addresses. Only the first `len` are valid.
    pub frames: [u64; CACHE_CAPACITY],
}

impl BuddyState {
    pub const fn new(link_none: u64) -> Self {
        Self {
            n_zones: Zone::COUNT as u64,
            zones: [ZoneState::new(link_none), ZoneState::new(link_none), ZoneState::new(link_none)],
            caches: [const { [const { FrameCache::new() }; Migratetype::COUNT] }; MAX_CPUS],
        }
    }

    pub fn zone_of(&mut self, pfn: u64) -> &mut ZoneState {
        &mut self.zones[Zone::of(pfn) as usize]
    }
}

impl ZoneState {
    const fn new(link_none: u64) -> Self {
        Self {
            first_pfn: 0,
            end_pfn: 0,
            managed: 0,
            free: 0,
            cached: 0,
            allocated: 0,
            quarantined: 0,
            reserved: 0,
            heads: [[link_none; MAX_ORDER + 1]; Migratetype::COUNT],
        }
    }

    /// Counts frames that their holders gave back. It saturates: a frame that was freed twice came back more often than it
    /// was handed out, and finding that out is the subject's part.
    pub fn note_returned(&mut self, frames: u64) {
        self.allocated = self.allocated.saturating_sub(frames);
    }
}

impl FrameCache {
    pub(super) const fn new() -> Self {
        Self { len: 0, frames: [0; CACHE_CAPACITY] }
    }

    /// The frames in the cache, oldest first.
    pub fn frames(&self) -> &[u64] {
        &self.frames[..self.len as usize]
    }

    pub fn is_full(&self) -> bool {
        self.len as usize == CACHE_CAPACITY
    }

    /// # Panics
    /// When full.
    pub fn push(&mut self, paddr: u64) {
        self.frames[self.len as usize] = paddr;
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<u64> {
        let last = *self.frames().last()?;
        self.len -= 1;
        Some(last)
    }

    /// Reverses the order of the frames.
    pub fn turn_round(&mut self) {
        self.frames[..self.len as usize].reverse();
    }

    /// Takes the oldest frame out.
    pub fn pop_oldest(&mut self) -> Option<u64> {
        let oldest = *self.frames().first()?;
        self.remove_at(0);
        Some(oldest)
    }

    /// Removes one occurrence of `paddr`. Returns false when there is none.
    pub fn remove(&mut self, paddr: u64) -> bool {
        let found = self.frames().iter().position(|&frame| frame == paddr);
        if let Some(index) = found {
            self.remove_at(index);
        }
        found.is_some()
    }

    fn remove_at(&mut self, index: usize) {
        self.frames.copy_within(index + 1..self.len as usize, index);
        self.len -= 1;
    }
}
