//! Zones with migratetypes: what follows from a frame's number.

use crate::named::named;
use core::ops::Range;

/// Order of the largest block: 8 MiB.
pub const MAX_ORDER: usize = 11;

named! {
    /// A range of pfns with its own free lists.
    #[repr(usize)]
    pub enum Zone {
        Dma = 0 "DMA",
        Normal = 1 "Normal",
        HighMem = 2 "HighMem",
    }
}

impl Zone {
    /// The pfns of the zone, with and without RAM behind them. Every boundary is a multiple of the largest
    /// block, so no block and no pair of buddies lies in two zones.
    pub const fn pfns(self) -> Range<u64> {
        const NORMAL: u64 = (16 << 20) >> 12;
        const HIGH_MEM: u64 = (896 << 20) >> 12;
        match self {
            Self::Dma => 0..NORMAL,
            Self::Normal => NORMAL..HIGH_MEM,
            Self::HighMem => HIGH_MEM..u64::MAX >> 12,
        }
    }

    pub fn of(pfn: u64) -> Self {
        if pfn < Self::Normal.pfns().start {
            Self::Dma
        } else if pfn < Self::HighMem.pfns().start {
            Self::Normal
        } else {
            Self::HighMem
        }
    }

    /// The zones in the order in which a request tries them. The memory that devices need comes last.
    pub const fn preferred(migratetype: Migratetype) -> [Self; Self::COUNT] {
        match migratetype {
            Migratetype::Unmovable => [Self::Normal, Self::HighMem, Self::Dma],
            Migratetype::Movable => [Self::HighMem, Self::Normal, Self::Dma],
        }
    }
}

named! {
    /// Whether the content of a frame can be moved to another frame.
    #[repr(u8)]
    pub enum Migratetype {
        Unmovable = 0 "unmovable",
        Movable = 1 "movable",
    }
}

impl Migratetype {
    /// The list that a freed frame returns to. It never changes, and all frames of one largest block have the same, so
    /// that buddies always meet on one list.
    pub fn home(pfn: u64) -> Self {
        let largest_block = pfn >> MAX_ORDER;
        if Zone::of(pfn) == Zone::Dma || largest_block % 2 == 0 {
            Self::Unmovable
        } else {
            Self::Movable
        }
    }

    /// The lists to search, the own one first.
    pub const fn fallbacks(self) -> [Self; Self::COUNT] {
        [self, Self::ALL[(self.index() + 1) % Self::COUNT]]
    }

    pub const fn index(self) -> usize {
        self as usize
    }
}
