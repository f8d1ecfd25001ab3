"""Proves what a memory map permits, and that the shortening of a map ends."""

from __future__ import annotations

import pytest

from frame_harness.memory_core.catalogue import MIB, catalogue, large_catalogue
from frame_harness.memory_core.maps import (
    ADDRESS_SPACE,
    MapRegion,
    MemoryMap,
    Protected,
    RegionKind,
    Span,
    common,
    length,
    merged,
    without,
)

PAGE = 0x1000


def usable(*regions: MapRegion, protected: tuple[Protected, ...] = ()) -> list[Span]:
    return MemoryMap("", regions, protected).usable


def test_frame_0_belongs_to_nobody() -> None:
    assert usable(MapRegion(0, 3 * PAGE)) == [(PAGE, 3 * PAGE)]


def test_frames_that_are_not_whole_are_not_used() -> None:
    assert usable(MapRegion(0x1001, 3 * PAGE)) == [(0x2000, 0x4000)]


def test_two_halves_of_a_frame_are_a_whole_one() -> None:
    assert usable(MapRegion(0x1000, 0x800), MapRegion(0x1800, 0x800)) == [(0x1000, 0x2000)]


@pytest.mark.parametrize("kind", [RegionKind.RESERVED])
def test_reserved_memory_takes_every_frame_that_it_touches(kind: RegionKind) -> None:
    assert usable(MapRegion(0x1000, 0x4000), MapRegion(0x2FFF, 2, kind)) == [
        (0x1000, 0x2000),
        (0x4000, 0x5000),
    ]


def test_null_region_and_reserved_region_without_length_forbid_nothing() -> None:
    nothing = (MapRegion(0x2000, 0x1000, RegionKind.NULL), MapRegion(0x3800, 0, RegionKind.RESERVED))
    assert usable(MapRegion(0x1000, 0x4000), *nothing) == [(0x1000, 0x5000)]


def test_protected_range_is_forbidden_in_whole_frames() -> None:
    assert usable(MapRegion(0x1000, 0x4000), protected=(Protected(0x2800, 1),)) == [
        (0x1000, 0x2000),
        (0x3000, 0x5000),
    ]


def test_region_beyond_the_last_address_is_strange_and_not_usable() -> None:
    memory = MemoryMap("", (MapRegion(0x1000, 0x1000), MapRegion(ADDRESS_SPACE - PAGE, 2 * PAGE)))
    assert (memory.strange, memory.usable, memory.top) == (True, [(0x1000, 0x2000)], 0x2000)


def test_reclaimable_memory_is_usable() -> None:
    assert usable(MapRegion(0x1000, 0x1000), MapRegion(0x2000, 0x1000, RegionKind.RECLAIM)) == [
        (0x1000, 0x3000)
    ]


def test_a_hole_without_length_cuts_nothing() -> None:
    assert without([(6, 15)], [(14, 14)]) == [(6, 15)]


def test_spans_are_cut_merged_and_compared() -> None:
    assert merged([(5, 7), (1, 3), (3, 5), (9, 9)]) == [(1, 7)]
    assert without([(0, 10)], [(2, 3), (5, 20)]) == [(0, 2), (3, 5)]
    assert common([(0, 10)], [(2, 3), (5, 20)]) == [(2, 3), (5, 10)]
    assert length([(0, 10), (20, 21)]) == 11


@pytest.mark.parametrize(
    "region",
    [
        MapRegion(0x123, 0x777777),
        MapRegion(ADDRESS_SPACE - 1, 1),
        MapRegion(MIB, 7 * MIB, RegionKind.RECLAIM),
        MapRegion(PAGE, PAGE),
    ],
    ids=str,
)
def test_a_simpler_region_is_smaller_or_says_less(region: MapRegion) -> None:
    for simpler in region.simpler():
        assert simpler.size < region.size or (simpler.size == region.size and simpler.kind < region.kind)
        assert region.base <= simpler.base and simpler.end <= region.end and simpler.size > 0


def test_maps_of_the_catalogue_have_names_of_their_own_and_lie_where_they_are_asked_to() -> None:
    start, end = 2 * MIB, 64 * MIB
    small = list(catalogue(start, end))
    large = list(large_catalogue(start, 6144 * MIB))
    names = [memory.name for memory in (*small, *large)]
    assert len(set(names)) == len(names)
    assert all(memory.top <= end for memory in small)
    inside = [(PAGE, 640 << 10), (start, end)]
    assert all(length(common(memory.usable, inside)) == length(memory.usable) for memory in small)
