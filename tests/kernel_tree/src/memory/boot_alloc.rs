//! The allocator for what the kernel needs before the buddy allocator: it hands out memory for good.

use crate::boot::entry::{MemoryKind, MemoryRegion};
use crate::memory::paging::is_hhdm_range_mapped_now;
use crate::sync::SpinLock;
use x86_64::PhysAddr;

const PAGE_SIZE: u64 = super::frame::PAGE_SIZE;
pub const MAX_PIECES: usize = 1024;
pub const MAX_PROTECTED_RANGES: usize = 32;

/// Memory without a hole: its first address, and one past its last.
pub type Piece = (u64, u64);
type Protected = [Option<(u64, u64)>; MAX_PROTECTED_RANGES];

pub struct BootAllocator {
    /// In order, apart, in whole pages.
    pieces: [Piece; MAX_PIECES],
    len: usize,
}

static BOOT_ALLOCATOR: SpinLock<BootAllocator> = SpinLock::new(BootAllocator::new());
static PROTECTED_RANGES: SpinLock<Protected> = SpinLock::new([None; MAX_PROTECTED_RANGES]);

impl BootAllocator {
    pub const fn new() -> Self {
        Self { pieces: [(0, 0); MAX_PIECES], len: 0 }
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces[..self.len]
    }

    fn init(&mut self, regions: &[MemoryRegion], protected: &Protected) {
        self.len = 0;
        for region in regions.iter().filter(|region| is_usable(region.kind)) {
            // A region that goes on beyond the last address says nothing that can be true.
            if let Some(end) = region.base.checked_add(region.size) {
                self.add((region.base, end));
            }
        }
        self.merge();
        self.round_in();
        // Page 0 belongs to nobody: its address stands for "none" in lists.
        self.exclude((0, PAGE_SIZE));
        for region in regions.iter().filter(|region| forbids(region.kind) && region.size != 0) {
            self.exclude((region.base, region.base.saturating_add(region.size)));
        }
        for &(base, size) in protected.iter().flatten().filter(|(_, size)| *size != 0) {
            self.exclude((base, base.saturating_add(size)));
        }
    }

    /// Whole pages at a multiple of `align` (a power of two) that the kernel can reach now.
    pub fn try_alloc_accessible(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
        let align = (align as u64).max(PAGE_SIZE);
        let size = (size as u64).next_multiple_of(PAGE_SIZE);
        for at in 0..self.len {
            let (first, end) = self.pieces[at];
            let start = first.next_multiple_of(align);
            let Some(stop) = start.checked_add(size) else { continue };
            if stop <= end && is_hhdm_range_mapped_now(start, size) {
                self.exclude((start, stop));
                return Some(PhysAddr::new(start));
            }
        }
        None
    }

    fn add(&mut self, piece: Piece) {
        if piece.0 >= piece.1 {
            return;
        }
        assert!(self.len < MAX_PIECES, "boot allocator: memory in more than {MAX_PIECES} pieces");
        self.pieces[self.len] = piece;
        self.len += 1;
    }

    fn merge(&mut self) {
        self.pieces[..self.len].sort_unstable();
        let mut kept = 0;
        for at in 1..self.len {
            let (first, end) = self.pieces[at];
            if first <= self.pieces[kept].1 {
                self.pieces[kept].1 = self.pieces[kept].1.max(end);
            } else {
                kept += 1;
                self.pieces[kept] = (first, end);
            }
        }
        self.len = self.len.min(kept + 1);
    }

    fn round_in(&mut self) {
        let (pieces, count) = (self.pieces, self.len);
        self.len = 0;
        for &(first, end) in &pieces[..count] {
            let start = first.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
            self.add((start, end / PAGE_SIZE * PAGE_SIZE));
        }
    }

    /// Takes every page that a range touches out.
    fn exclude(&mut self, (first, end): Piece) {
        let hole = first / PAGE_SIZE * PAGE_SIZE;
        let hole_end = end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
        let (pieces, count) = (self.pieces, self.len);
        self.len = 0;
        for &(first, end) in &pieces[..count] {
            self.add((first, end.min(hole)));
            self.add((first.max(hole_end), end));
        }
    }
}

fn is_usable(kind: MemoryKind) -> bool {
    matches!(kind, MemoryKind::Free | MemoryKind::Reclaim)
}

fn forbids(kind: MemoryKind) -> bool {
    !is_usable(kind) && kind != MemoryKind::Null
}

pub fn set_protected_ranges(ranges: &[Option<(u64, u64)>]) {
    let mut protected = PROTECTED_RANGES.lock();
    for (at, range) in protected.iter_mut().enumerate() {
        *range = ranges.get(at).copied().flatten();
    }
}

pub fn init_boot_allocator(regions: &[MemoryRegion]) {
    let protected = *PROTECTED_RANGES.lock();
    BOOT_ALLOCATOR.lock().init(regions, &protected);
}

pub fn get_boot_allocator() -> &'static SpinLock<BootAllocator> {
    &BOOT_ALLOCATOR
}

/// Gives up all that is left. Later requests fail.
pub fn seal() {
    BOOT_ALLOCATOR.lock().len = 0;
}
