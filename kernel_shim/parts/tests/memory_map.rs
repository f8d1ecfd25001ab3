//! Tests of the memory map.

use super::expect_panic;
use super::slots::ranges;
use crate::memory_map::{Entry, Map, RegionKind};
use std::vec::Vec;

const RAM: u32 = 1;
const RESERVED: u32 = 2;
const MIB: u64 = 1 << 20;

fn map(entries: &[(u64, u64, u32)]) -> Map {
    Map::from_entries(|| entries.iter().map(|&(base, end, kind)| Entry { base, bytes: end - base, kind }))
}

fn shown(map: &Map) -> Vec<(u64, u64, &'static str)> {
    map.regions().iter().map(|region| (region.base, region.end, region.kind.name())).collect()
}

#[test]
fn where_entries_overlap_the_address_is_not_ram() {
    let map = map(&[(MIB, 2 * MIB, RESERVED), (0, 4 * MIB, RAM), (3 * MIB, 5 * MIB, 3)]);
    let expected = [(0, MIB, "ram"), (MIB, 2 * MIB, "reserved"), (2 * MIB, 3 * MIB, "ram"), (3 * MIB, 5 * MIB, "acpi")];
    assert_eq!(shown(&map), expected);
}

#[test]
fn an_entry_that_ends_beyond_the_physical_addresses_is_ignored() {
    let wraps = Entry { base: u64::MAX - 1, bytes: 4, kind: RAM };
    let beyond = Entry { base: 0, bytes: (1 << 52) + 1, kind: RAM };
    assert_eq!(shown(&Map::from_entries(|| [wraps, beyond].into_iter())), []);
}

#[test]
fn ramtop_cuts_ram_only() {
    let mut map = map(&[(0, 4 * MIB, RAM), (5 * MIB, 6 * MIB, RESERVED)]);
    map.restrict(Some("0x200000"), None);
    assert_eq!(shown(&map), [(0, 2 * MIB, "ram"), (5 * MIB, 6 * MIB, "reserved")]);
}

#[test]
fn reserved_islands_are_cut_out_of_ram() {
    let mut map = map(&[(0, 4 * MIB, RAM)]);
    map.restrict(None, Some("100000+1000,3ff000+ffffff"));
    let expected = [
        (0, MIB, "ram"),
        (MIB, MIB + 0x1000, "reserved"),
        (MIB + 0x1000, 0x3f_f000, "ram"),
        (0x3f_f000, 4 * MIB, "reserved"),
    ];
    assert_eq!(shown(&map), expected);
}

#[test]
fn a_map_that_makes_no_sense_is_refused() {
    let small = || map(&[(0, MIB, RAM)]);
    expect_panic("reserve: expected <base>+<length>, got 1000", || small().restrict(None, Some("1000")));
    let (no_ram, too_high) = ("0 entries of the loader: expected usable RAM, got none", "end of RAM: expected above");
    expect_panic(no_ram, || map(&[]).place_kernel(&(0..1), 0));
    expect_panic(too_high, || small().place_kernel(&(MIB..2 * MIB), 1));
}

#[test]
fn pages_are_taken_from_the_lowest_address_on() {
    let mut map = map(&[(0x800, 0x3000, RAM)]);
    assert_eq!(map.take_page_within(0..MIB, RegionKind::Boot), 0x1000);
    assert_eq!(map.take_page_within(0x1800..MIB, RegionKind::Boot), 0x2000);
    assert_eq!(shown(&map), [(0x800, 0x1000, "ram"), (0x1000, 0x3000, "boot")]);
}

#[test]
#[should_panic(expected = "page for boot: expected free RAM, got none")]
fn a_part_of_a_page_is_not_taken() {
    map(&[(0x800, 0x17ff, RAM)]).take_page_within(0..MIB, RegionKind::Boot);
}

#[test]
fn frame_0_and_parts_of_frames_are_free_for_nobody() {
    let map = map(&[(0, 0x2800, RAM), (0x4800, 0x6000, RAM)]);
    assert_eq!(map.free_frames().iter().collect::<Vec<_>>(), [1..2, 5..6]);
    assert_eq!(map.frames_of_memory().iter().collect::<Vec<_>>(), [0..3, 4..6]);
    assert_eq!((map.frame_count(), map.memory_bytes()), (6, 0x4000));
}

#[test]
fn what_nobody_can_have_is_shown_as_taken_at_boot() {
    let map = map(&[(0, 0x8800, RAM)]).with_taken(&ranges(&[3..4]));
    let expected = [
        (0, 0x1000, "boot"),
        (0x1000, 0x3000, "ram"),
        (0x3000, 0x4000, "meta"),
        (0x4000, 0x8000, "ram"),
        (0x8000, 0x8800, "boot"),
    ];
    assert_eq!(shown(&map), expected);
}
