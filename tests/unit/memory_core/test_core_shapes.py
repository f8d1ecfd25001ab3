"""Proves that a core whose structures are not those that are read is refused with what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frame_harness.base.errors import ImageError
from frame_harness.base.units import Paddr
from frame_harness.memory_core.shapes import require_counts, require_members, require_no_numbers

BITMAP = [("data", "<u8"), ("num_bits", "<u8")]
SEGMENT = [
    ("base", "<u8"), ("page_count", "<u8"), ("free_lists", "<u8", (2, 12)), ("buddy_bitmaps", BITMAP, (12,)),
]  # fmt: skip
ZONE = [
    ("page_count", "<u8"), ("allocated", "<u8"), ("segments", "<u8"), ("segment_count", "<u8"),
    ("segment_capacity", "<u8"),
]  # fmt: skip
CACHE = [("len", "<u8"), ("frames", "<u8", (256,))]
Members = list[Any]


def members_of(**others: Members) -> dict[str, np.dtype[Any]]:
    found: dict[str, Members] = {
        "buddy::BuddyAllocator": [("zones", ZONE, (3,))],
        "zone::Zone": ZONE,
        "zone::ZoneSegment": SEGMENT,
        "buddy::LocalFrameCache": CACHE,
        "frame::MetaSlot": [("next", "<u8"), ("prev", "<u8")],
    }
    return {name: np.dtype(others.get(name.split("::")[-1], members)) for name, members in found.items()}


def without(name: str, members: Members) -> Members:
    return [one for one in members if one[0] != name]


def test_structures_of_today_and_of_a_zone_with_lists_of_its_own_are_read() -> None:
    require_members(members_of())
    own_lists = [*without("free_lists", SEGMENT), ("free_lists", "<u8", (12,)), ("allocated", "<u8")]
    require_members(
        {name: one for name, one in members_of(Zone=own_lists).items() if name != "zone::ZoneSegment"}
    )
    require_counts(np.dtype([("zones", own_lists, (3,))]), np.dtype(own_lists))


def test_a_cache_of_addresses_in_structures_of_their_own_is_read() -> None:
    frame = [("start_address", [("__0", "<u8")])]
    require_members(members_of(LocalFrameCache=[("len", "<u4"), ("frames", frame, (256,)), ("hits", "<u8")]))


def test_a_single_word_in_a_member_says_nothing_of_where_frames_begin() -> None:
    names = ("in_use", "end_of_life", "next_refill", "next_out", "first_zone", "read_only", "rewrites")
    require_members(members_of(LocalFrameCache=[*CACHE, *((name, "<u8") for name in names)]))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (
            {"LocalFrameCache": [("used", "<u8"), ("frames", "<u8", (8,))]},
            "a member len in buddy::LocalFrame",
        ),
        ({"Zone": without("segment_count", ZONE)}, "a member segment_count in zone::Zone"),
        ({"ZoneSegment": without("base", SEGMENT)}, "a member base in zone::ZoneSegment"),
        ({"MetaSlot": [("next", "<u8")]}, "a member prev in frame::MetaSlot, got next"),
        ({"LocalFrameCache": [("len", "<u8"), ("frames", "<u4", (256,))]}, "an address for each of frames"),
        ({"LocalFrameCache": [("len", "<u8"), ("frames", "u1", (256, 16))]}, "an address for each of frames"),
        ({"LocalFrameCache": [*CACHE, ("head", "<u8")]}, "a member head, too"),
        ({"LocalFrameCache": [*CACHE, ("next_in", "<u8"), ("next_out", "<u8")]}, "a member next_in, too"),
        ({"LocalFrameCache": [*CACHE, ("write_at", "<u8"), ("read_at", "<u8")]}, "a member read_at, too"),
        ({"LocalFrameCache": [("len", BITMAP), CACHE[1]]}, "a number as len of buddy::LocalFrameCache"),
        (
            {"Zone": [*without("allocated", ZONE), ("allocated", BITMAP)]},
            "a number as allocated of zone::Zone",
        ),
    ],
)
def test_a_member_that_is_not_there_is_named(others: dict[str, Members], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        require_members(members_of(**others))


@pytest.mark.parametrize(
    ("zones", "lists", "bitmap", "said"),
    [
        (4, ("<u8", (2, 12)), BITMAP, "at most 3 zones"),
        (3, ("<u8", (3, 12)), BITMAP, "free lists by order, or by 2 kinds"),
        (3, ([("first", "<u8"), ("last", "<u8")], (2, 12)), BITMAP, "an address as each free list"),
        (
            3,
            ("<u8", (2, 12)),
            [("data", "<u8"), ("bits", "<u8")],
            "a member num_bits in each of buddy_bitmaps",
        ),
    ],
)
def test_zones_lists_and_bitmaps_of_another_shape_are_refused(
    zones: int, lists: tuple[Any, ...], bitmap: Members, said: str
) -> None:
    segment = [("free_lists", *lists), ("buddy_bitmaps", bitmap, (12,))]
    with pytest.raises(ImageError, match=said):
        require_counts(np.dtype([("zones", ZONE, (zones,))]), np.dtype(segment))


def test_a_cache_of_numbers_of_frames_is_refused_where_it_shows() -> None:
    require_no_numbers([Paddr(0x1000), Paddr(0x3000)], 0x8000)
    require_no_numbers([Paddr(0x1001), Paddr(0x9000)], 0x8000)  # an address that is wrong
    require_no_numbers([], 0x8000)
    with pytest.raises(ImageError, match=r"addresses as frames of .*numbers, such as 0x201"):
        require_no_numbers([Paddr(0x200), Paddr(0x201)], 0x8000)
