//! The stops of a released block on its way to the buddy, each packed into one word.

use crate::named::named;

named! {
    /// A place that a released block has come to.
    pub enum Stop {
        OnUnmap "on_unmap",
        OnLastRef "on_last_ref",
        /// The block reached the buddy.
        Buddy "buddy",
    }
}

/// One line of the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    pub stop: Stop,
    pub paddr: u64,
    pub interrupts_enabled: bool,
}

impl Record {
    /// Packs the record into a word: a physical address has 52 bits, the rest fits above them.
    pub fn pack(self) -> u64 {
        self.paddr | (self.stop as u64) << 62 | (self.interrupts_enabled as u64) << 61
    }

    pub fn unpack(word: u64) -> Self {
        Self {
            stop: Stop::ALL[(word >> 62) as usize],
            paddr: word & ((1 << 52) - 1),
            interrupts_enabled: word >> 61 & 1 == 1,
        }
    }
}
