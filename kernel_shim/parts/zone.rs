//! Zones with migratetypes: what follows from a frame's number.

use core::ops::Range;

/// Order of the largest block: 8 MiB.
pub const MAX_ORDER: usize = 11;

/// A range of pfns with its own free lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum Zone {
    Dma = 0,
    Normal = 1,
    HighMem = 2,
}

impl Zone {
    pub const COUNT: usize = 3;
    pub const ALL: [Self; Self::COUNT] = [Self::Dma, Self::Normal, Self::HighMem];

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

    pub const fn name(self) -> &'static str {
        match self {
            Self::Dma => "DMA",
            Self::Normal => "Normal",
            Self::HighMem => "HighMem",
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

/// Whether the content of a frame can be moved to another frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Migratetype {
    Unmovable = 0,
    Movable = 1,
}

impl Migratetype {
    pub const COUNT: usize = 2;
    pub const ALL: [Self; Self::COUNT] = [Self::Unmovable, Self::Movable];

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

    pub const fn name(self) -> &'static str {
        match self {
            Self::Unmovable => "unmovable",
            Self::Movable => "movable",
        }
    }
}
