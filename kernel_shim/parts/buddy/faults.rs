//! The faults that a test injects into the buddy.

use super::stamp::StampUnused;

pub struct Faults {
    next_frame: Option<u64>,
    refusals: u64,
    missing_stamps: u64,
}

impl Faults {
    pub const fn new() -> Self {
        Self { next_frame: None, refusals: 0, missing_stamps: 0 }
    }

    /// The next request for a single frame gets this frame, whatever its state.
    pub fn offer_next(&mut self, pfn: u64) {
        self.next_frame = Some(pfn);
    }

    /// The next `requests` fail.
    pub fn refuse(&mut self, requests: u64) {
        self.refusals = requests;
    }

    /// The next `frees` leave the reference counts unchanged.
    pub fn skip_stamps(&mut self, frees: u64) {
        self.missing_stamps = frees;
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
