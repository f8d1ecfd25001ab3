//! The faults that a test injects into the buddy.

use super::stamp::StampUnused;

pub struct Faults {
    /// The next request for a single frame gets this frame, whatever its state.
    pub next_frame: Option<u64>,
    /// So many requests fail.
    pub refusals: u64,
    /// So many frees leave the reference counts unchanged.
    pub missing_stamps: u64,
}

impl Faults {
    pub const fn new() -> Self {
        Self { next_frame: None, refusals: 0, missing_stamps: 0 }
    }

    pub(super) fn are_armed(&self) -> bool {
        self.next_frame.is_some() || self.refusals > 0 || self.missing_stamps > 0
    }

    pub(super) fn take_next_frame(&mut self, order: u8) -> Option<u64> {
        if order == 0 {
            self.next_frame.take()
        } else {
            None
        }
    }

    pub(super) fn take_refusal(&mut self) -> bool {
        count_down(&mut self.refusals)
    }

    pub(super) fn take_stamp(&mut self) -> StampUnused {
        if count_down(&mut self.missing_stamps) {
            StampUnused::No
        } else {
            StampUnused::Yes
        }
    }
}

fn count_down(left: &mut u64) -> bool {
    let due = *left > 0;
    *left -= due as u64;
    due
}
