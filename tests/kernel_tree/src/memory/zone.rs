//! Zones with their segments: what the allocator knows of memory.

use super::frame::PAGE_SIZE;
use core::slice;
use core::sync::atomic::AtomicU8;
use x86_64::PhysAddr;

/// Order of the largest block.
pub const MAX_ORDER: usize = 11;
pub const ORDERS: usize = MAX_ORDER + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ZoneType {
    DMA = 0,
    Normal = 1,
    HighMem = 2,
}

impl ZoneType {
    pub const COUNT: usize = 3;
    pub const ALL: [Self; Self::COUNT] = [Self::DMA, Self::Normal, Self::HighMem];

    /// Its addresses, whether memory is there or not. Each border is a multiple of the largest block.
    pub const fn span(self) -> (u64, u64) {
        const DMA_END: u64 = 16 << 20;
        const NORMAL_END: u64 = 896 << 20;
        match self {
            Self::DMA => (0, DMA_END),
            Self::Normal => (DMA_END, NORMAL_END),
            Self::HighMem => (NORMAL_END, u64::MAX),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Migratetype {
    Unmovable = 0,
    Movable = 1,
}

/// The number of kinds.
pub const KINDS: usize = 2;

impl Migratetype {
    /// The list of a block. It follows from the address of the largest block around it, so that buddies have the same.
    pub fn home(paddr: u64) -> Self {
        let block = paddr / (PAGE_SIZE << MAX_ORDER);
        if paddr >= ZoneType::Normal.span().0 && block % 2 == 1 {
            Self::Movable
        } else {
            Self::Unmovable
        }
    }

    /// Where to look for a block of this kind, the best place first.
    pub fn searched(self) -> [Self; KINDS] {
        let other = if self == Self::Movable { Self::Unmovable } else { Self::Movable };
        [self, other]
    }
}

/// A bit for each place where a block of one order can begin: set while a free block begins there.
#[derive(Clone, Copy)]
pub struct BuddyBitmap {
    pub data: *mut u8,
    pub num_bits: usize,
}

impl BuddyBitmap {
    pub const fn empty() -> Self {
        Self { data: core::ptr::null_mut(), num_bits: 0 }
    }

    pub fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: whoever made the bitmap took the memory from the boot allocator for it alone, zeroed, and for good.
        unsafe { bytes_at(self.data, self.num_bits.div_ceil(8)) }
    }
}

/// Memory that is managed together: there is no hole in it.
pub struct ZoneSegment {
    pub base: PhysAddr,
    pub page_count: usize,
    /// The physical address of each list's first block, 0 for none.
    pub free_lists: [[u64; ORDERS]; KINDS],
    pub buddy_bitmaps: [BuddyBitmap; ORDERS],
    /// For each page what was given there: see `buddy::given`.
    pub given: *mut u8,
}

impl ZoneSegment {
    pub fn end(&self) -> u64 {
        self.base.as_u64() + self.page_count as u64 * PAGE_SIZE
    }

    pub fn contains(&self, paddr: u64, order: u8) -> bool {
        let end = paddr.checked_add(PAGE_SIZE << order);
        paddr >= self.base.as_u64() && end.is_some_and(|end| end <= self.end())
    }

    pub fn given(&self) -> &[AtomicU8] {
        // SAFETY: the segment's maker took a byte for each page from the boot allocator for it alone, zeroed, for good.
        unsafe { bytes_at(self.given, self.page_count) }
    }
}

/// # Safety
/// `count` initialized bytes at `at` are mapped for good, and are reached through such slices alone.
unsafe fn bytes_at<'a>(at: *mut u8, count: usize) -> &'a [AtomicU8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller promises it; an atomic byte is a byte.
    unsafe { slice::from_raw_parts(at.cast::<AtomicU8>(), count) }
}

pub struct Zone {
    pub zone_type: ZoneType,
    pub base: PhysAddr,
    /// Pages that are managed.
    pub page_count: usize,
    /// Pages that callers hold, or CPUs in their caches.
    pub allocated: usize,
    /// How many there are.
    pub segment_count: usize,
    pub segments: *mut ZoneSegment,
    /// How many there is room for.
    pub segment_capacity: usize,
}

impl Zone {
    pub const fn new(zone_type: ZoneType) -> Self {
        Self {
            zone_type,
            base: PhysAddr::new(0),
            page_count: 0,
            allocated: 0,
            segments: core::ptr::null_mut(),
            segment_count: 0,
            segment_capacity: 0,
        }
    }

    pub fn segments_mut(&mut self) -> &mut [ZoneSegment] {
        if self.segment_count == 0 {
            return &mut [];
        }
        // SAFETY: `segment_count` segments were written there, in memory that was taken for them alone and for good. The
        // zone is borrowed mutably, so this is the only reference.
        unsafe { slice::from_raw_parts_mut(self.segments, self.segment_count) }
    }
}

// SAFETY: what the pointers lead to belongs to the zone alone, and any CPU can reach it.
unsafe impl Send for Zone {}
