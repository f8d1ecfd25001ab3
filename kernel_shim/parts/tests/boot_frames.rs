//! Tests of the boot allocator's account.

use super::slots::ranges;
use crate::boot_frames::{BootFrames, Faults, Request};
use crate::random::{garbage_page, Random};
use crate::zone::Zone;
use std::vec::Vec;

fn frames(free: &[core::ops::Range<u64>]) -> BootFrames {
    let mut frames = BootFrames::new();
    frames.add(ranges(free));
    frames
}

#[test]
fn scarce_zones_come_last() {
    let normal = Zone::Normal.pfns().start;
    let mut frames = frames(&[1..3, normal..normal + 1]);
    let paddrs: Vec<_> = (0..3).map(|_| frames.take(1, 1).map(|grant| grant.paddr)).collect();
    assert_eq!(paddrs, [Some(normal << 12), Some(0x1000), Some(0x2000)]);
    assert!(frames.take(1, 1).is_none());
}

#[test]
fn addresses_are_aligned_and_sizes_rounded_up() {
    let mut frames = frames(&[1..9]);
    let grant = frames.take(0x1001, 0x4000).expect("two frames at a multiple of four");
    assert_eq!((grant.paddr, grant.pfns), (0x4000, 4..6));
    assert_eq!(frames.taken().iter().collect::<Vec<_>>(), [4..6]);
    assert_eq!(frames.log().copied().collect::<Vec<_>>(), [Request { size: 0x1001, align: 0x4000, paddr: 0x4000 }]);
}

#[test]
fn nothing_is_given_for_no_bytes_or_too_many() {
    let mut frames = frames(&[1..9]);
    assert!(frames.take(0, 1).is_none() && frames.take(usize::MAX, 1).is_none());
}

#[test]
fn faults_refuse_or_misalign() {
    let mut frames = frames(&[1..9]);
    frames.faults = Faults { refuse: true, misalign: 0 };
    assert!(frames.take(1, 1).is_none());
    frames.faults = Faults { refuse: false, misalign: 8 };
    assert_eq!(frames.take(0x1000, 1).map(|grant| (grant.paddr, grant.pfns)), Some((0x1008, 1..3)));
}

#[test]
fn nobody_is_served_after_all_was_handed_over() {
    let mut frames = frames(&[1..9]);
    assert_eq!(frames.hand_over().len(), 8);
    assert!(frames.take(1, 1).is_none());
}

#[test]
fn garbage_differs_from_byte_to_byte_and_from_frame_to_frame() {
    let page = garbage_page(1);
    assert!(page.iter().all(|&byte| byte != 0) && page[..16] != garbage_page(2)[..16]);
    assert!(page.windows(8).all(|window| window.iter().any(|&byte| byte != window[0])));
}

#[test]
fn random_numbers_can_be_repeated_from_any_seed() {
    let (mut one, mut other) = (Random::new(0), Random::new(1));
    assert_eq!([one.number(), one.below(10)], [other.number(), other.below(10)]);
    assert!((0..1000).all(|_| one.below(3) < 3));
}
