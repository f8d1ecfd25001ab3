//! Tests of the frames that a memory map lets a core use.

use crate::usable::usable_frames;
use std::vec::Vec;

fn frames(free: &[(u64, u64)], forbidden: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let found = usable_frames(|| free.iter().copied(), forbidden.iter().copied());
    found.iter().map(|range| (range.start, range.end)).collect()
}

#[test]
fn whole_frames_alone_are_usable_and_frame_0_is_not() {
    assert_eq!(frames(&[(0, 0x3800), (0x4800, 0x2000)], &[]), [(1, 3), (5, 6)]);
}

#[test]
fn regions_that_meet_inside_of_a_frame_share_it() {
    assert_eq!(frames(&[(0x2800, 0x1800), (0x1000, 0x1800)], &[]), [(1, 4)]);
}

#[test]
fn regions_may_overlap_repeat_and_come_in_any_order() {
    assert_eq!(
        frames(&[(0x8000, 0x2000), (0x1000, 0x4000), (0x3000, 0x4000), (0x8000, 0x2000)], &[]),
        [(1, 7), (8, 10)]
    );
}

#[test]
fn a_frame_that_something_forbidden_touches_is_not_usable() {
    assert_eq!(frames(&[(0x1000, 0x9000)], &[(0x2fff, 2), (0x5000, 0), (u64::MAX, 1)]), [(1, 2), (4, 10)]);
}

#[test]
fn a_region_beyond_the_last_address_cannot_be() {
    assert_eq!(frames(&[(u64::MAX - 0xfff, 0x2000), (0x1000, 0x1000)], &[]), [(1, 2)]);
}
