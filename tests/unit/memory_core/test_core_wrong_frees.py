"""Proves what each wrong free asks for, and that none asks for what a caller may free."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frame_harness.base.units import Paddr, Pfn
from frame_harness.memory_core.judging import Owned
from frame_harness.memory_core.maps import MapRegion, MemoryMap, RegionKind
from frame_harness.memory_core.state import CoreState, FreeBlock, Segment, Structure, ZoneCounters
from frame_harness.memory_core.wrong_frees import (
    FREED_BEFORE,
    NO_MEMORY,
    NO_ORDER,
    WRONG_FREES,
    Target,
    cause_of,
    target_of,
)

MAP = MemoryMap("", (MapRegion(0x100000, 0x100000), MapRegion(0x1F0000, 0x10000, RegionKind.RESERVED)))
STATE = CoreState(
    segments=(Segment(0, Pfn(0x100), Pfn(0x200)),), blocks=(FreeBlock(Pfn(0x124), 2, 0, 0),), faults=(),
    cached=(), zones=(ZoneCounters(256, 4, 0),),
    structures=(Structure("slot table", (Paddr(0x100000), Paddr(0x104000))),), max_order=11,
)  # fmt: skip
HELD = Owned(Pfn(0x120), 2, "unmovable")


def asked(how: str, block: Owned | None = HELD) -> tuple[int, int] | None:
    held = block if how not in FREED_BEFORE else None
    found = target_of(how, Target(STATE, MAP, held, block, [held] if held else []))
    return None if found is None else (found.paddr, found.order)


@pytest.mark.parametrize(
    ("how", "paddr", "order"),
    [
        ("again", 0x120000, 2), ("piece", 0x120000, 0), ("larger", 0x120000, 3), ("largest", 0x120000, 5),
        ("smaller", 0x120000, 1), ("first", 0x120000, 0), ("inside", 0x121000, 0), ("last", 0x123000, 0),
        ("half", 0x122000, 1), ("beyond", 0x120000, 2 + NO_ORDER), ("modulo", 0x120000, 254),
        ("far", 0x120000 + NO_MEMORY, 2),
        ("neighbor", 0x124000, 2), ("free", 0x124000, 0), ("structure", 0x100000, 0), ("odd", 0x120010, 2),
        ("reserved", 0x1F0000, 0),
    ],
)  # fmt: skip
def test_each_wrong_free_asks_for_something_else(how: str, paddr: int, order: int) -> None:
    assert asked(how) == (paddr, order)


def test_a_frame_has_no_parts_that_could_be_freed() -> None:
    frame = Owned(Pfn(0x121), 0, "unmovable")
    parts = ("piece", "largest", "smaller", "first", "inside", "last", "half")
    assert [asked(how, frame) for how in parts] == [None] * len(parts)


def test_no_wrong_free_is_the_right_one() -> None:
    requests = [asked(how) for how in WRONG_FREES if how not in FREED_BEFORE]
    assert None not in requests and (HELD.pfn << 12, HELD.order) not in requests


def test_every_way_has_the_cause_of_a_way() -> None:
    assert {cause_of(how) for how in WRONG_FREES} < set(WRONG_FREES)


@pytest.mark.parametrize(
    ("how", "seen"), [("beyond", lambda order: order & 0x7F), ("modulo", lambda order: order % 12)]
)
def test_an_order_that_no_core_has_may_look_like_the_right_one(how: str, seen: Callable[[int], int]) -> None:
    (_, order) = asked(how) or (0, 0)
    assert STATE.max_order < order <= 255 and seen(order) == HELD.order
