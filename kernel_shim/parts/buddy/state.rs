//! What the buddy knows, laid out for the host to read from outside.

use crate::memory::zone::{Migratetype, Zone, MAX_ORDER};

/// No block: ends a free list, as head, next or prev.
pub use crate::memory::subject::FRAME_META_LINK_NONE as LINK_NONE;

/// CPUs that have a cache of their own.
pub use crate::arch::MAX_CPUS;
/// Frames in a CPU's cache at most.
pub const CACHE_CAPACITY: usize = 64;

/// Everything but the links, which live in the slots of the free blocks' heads.
#[repr(C)]
pub struct BuddyState {
    pub n_zones: u64,
    pub zones: [ZoneState; Zone::COUNT],
    /// By CPU, then by migratetype.
    pub caches: [[FrameCache; Migratetype::COUNT]; MAX_CPUS],
}

/// One zone: its frames by what became of them (their sum is `managed`), and its free lists.
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

/// Single free frames that one CPU keeps at hand; the last one in is the first one out.
#[repr(C)]
pub struct FrameCache {
    pub len: u64,
    /// Physical addresses; only the first `len` mean anything.
    pub frames: [u64; CACHE_CAPACITY],
}

impl BuddyState {
    pub const fn new() -> Self {
        Self {
            n_zones: Zone::COUNT as u64,
            zones: [const { ZoneState::new() }; Zone::COUNT],
            caches: [const { [const { FrameCache::new() }; Migratetype::COUNT] }; MAX_CPUS],
        }
    }

    pub fn zone_of(&mut self, pfn: u64) -> &mut ZoneState {
        &mut self.zones[Zone::of(pfn) as usize]
    }
}

impl ZoneState {
    const fn new() -> Self {
        Self {
            first_pfn: 0,
            end_pfn: 0,
            managed: 0,
            free: 0,
            cached: 0,
            allocated: 0,
            quarantined: 0,
            reserved: 0,
            heads: [[LINK_NONE; MAX_ORDER + 1]; Migratetype::COUNT],
        }
    }

    /// Frames that left the holders. Saturates: a frame freed twice came back more often than it was
    /// handed out, and finding that out is not the buddy's part.
    pub fn note_returned(&mut self, frames: u64) {
        self.allocated = self.allocated.saturating_sub(frames);
    }
}

impl FrameCache {
    const fn new() -> Self {
        Self { len: 0, frames: [0; CACHE_CAPACITY] }
    }

    /// The frames at hand, oldest first.
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

    /// The oldest frame becomes the youngest, and so on.
    pub fn turn_round(&mut self) {
        self.frames[..self.len as usize].reverse();
    }

    /// Takes the oldest frame out.
    pub fn pop_oldest(&mut self) -> Option<u64> {
        let oldest = *self.frames().first()?;
        self.remove_at(0);
        Some(oldest)
    }

    /// Takes one occurrence of `paddr` out; false when there is none.
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
