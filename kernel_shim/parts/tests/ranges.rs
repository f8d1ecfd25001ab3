//! Tests of lists of frame ranges, zones, packed records.

use super::slots::ranges;
use crate::frame_ranges::FrameRanges;
use crate::stops::{Record, Stop};
use crate::zone::{Migratetype, Zone, MAX_ORDER};
use std::vec::Vec;

fn all(ranges: &FrameRanges) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.start, range.end)).collect()
}

#[test]
fn ranges_that_touch_become_one() {
    let list = ranges(&[1..4, 4..6, 6..6, 8..9]);
    assert_eq!((all(&list), list.len()), (Vec::from([(1, 6), (8, 9)]), 6));
}

#[test]
#[should_panic(expected = "expected ascending order")]
fn ranges_out_of_order_are_refused() {
    ranges(&[4..6, 3..5]);
}

#[test]
#[should_panic(expected = "expected at most 1100")]
fn more_ranges_than_fit_are_refused() {
    let mut list = FrameRanges::new();
    (0..1101).for_each(|index| list.push(index * 2..index * 2 + 1));
}

#[test]
fn what_is_removed_may_reach_over_ranges() {
    let mut list = ranges(&[1..4, 6..9, 10..12]);
    list.remove(&(3..7));
    assert_eq!(all(&list), [(1, 3), (7, 9), (10, 12)]);
}

#[test]
fn frames_are_contained_only_in_one_range() {
    let list = ranges(&[1..4, 6..9]);
    assert!(list.contains(1..4) && list.contains(7..8));
    assert!(!list.contains(3..7) && !list.contains(0..2));
}

#[test]
fn zones_follow_each_other_at_multiples_of_the_largest_block() {
    for pair in Zone::ALL.windows(2) {
        assert_eq!(pair[0].pfns().end, pair[1].pfns().start);
        assert_eq!(pair[1].pfns().start % (1 << MAX_ORDER), 0);
        assert_eq!([Zone::of(pair[1].pfns().start - 1), Zone::of(pair[1].pfns().start)], [pair[0], pair[1]]);
    }
}

#[test]
fn frames_of_one_largest_block_return_to_one_list() {
    for block in 0..300_u64 {
        let first = block << MAX_ORDER;
        assert_eq!(Migratetype::home(first), Migratetype::home(first + (1 << MAX_ORDER) - 1));
    }
    assert_eq!(Migratetype::home(3 << MAX_ORDER), Migratetype::Movable);
    assert_eq!(Migratetype::home(1 << MAX_ORDER), Migratetype::Unmovable, "the DMA zone has one list");
}

#[test]
fn a_record_survives_packing() {
    for stop in Stop::ALL {
        for (paddr, interrupts_enabled) in [(0, true), ((1 << 52) - 1, false)] {
            let record = Record { stop, paddr, interrupts_enabled };
            assert_eq!(Record::unpack(record.pack()), record);
        }
    }
}

#[test]
fn what_is_added_joins_its_neighbors() {
    let mut list = ranges(&[1..4, 6..9]);
    list.add(&(12..13));
    list.add(&(4..6));
    assert_eq!(all(&list), [(1, 9), (12, 13)]);
    list.add(&(10..12));
    list.add(&(0..1));
    assert_eq!(all(&list), [(0, 9), (10, 13)]);
}

#[test]
fn nothing_is_removed_between_ranges() {
    let mut list = ranges(&[1..4, 6..9]);
    list.remove(&(4..6));
    list.remove(&(8..8));
    assert_eq!(all(&list), [(1, 4), (6, 9)]);
}
