"""Proves by states made by hand which answers of a memory core are permitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.memory_core.answers import judge_block, judge_error, too_large
from frame_harness.memory_core.judging import Owned
from frame_harness.memory_core.state import ZONES, CoreState, FreeBlock, Segment
from frame_harness.memory_core.steps import Alloc

USABLE = [(Paddr(0x10000), Paddr(0x30000))]
STATE = CoreState(
    segments=(Segment(0, Pfn(18), Pfn(48)),),
    blocks=(FreeBlock(Pfn(20), 2, 0, 0), FreeBlock(Pfn(32), 4, 0, 0)), faults=(),
    cached=(), zones=(), structures=(), max_order=11,
)  # fmt: skip


def given(paddr: int, order: int, zone: str = "any", state: CoreState = STATE) -> list[tuple[str, str]]:
    block = Owned(paddr_to_pfn(Paddr(paddr)), order, "unmovable")
    found = judge_block(Alloc("a", order, zone=zone), block, Paddr(paddr), state, USABLE)
    return [(one.clause, one.got) for one in found]


def refused(order: int, state: CoreState = STATE) -> list[tuple[str, str]]:
    return [(one.clause, one.got) for one in judge_error(Alloc("a", order), "OutOfMemory", state)]


def test_a_block_of_usable_memory_at_its_place_is_permitted() -> None:
    assert given(0x20000, 4) == []


def test_a_block_that_reaches_out_of_usable_memory_is_not() -> None:
    assert given(0x2F000, 0) == [] and given(0x30000, 0) == [("CORE-12", "0x30000..0x31000")]


def test_a_block_that_begins_elsewhere_than_at_a_multiple_of_its_size_is_not() -> None:
    assert given(0x21000, 1) == [("CORE-13", "0x21000")]


def test_a_part_of_a_free_block_that_was_misplaced_is_no_fault_of_the_allocation() -> None:
    assert given(0x21000, 1, state=replace(STATE, blocks=(FreeBlock(Pfn(33), 1, 0, 0),))) == []


def test_a_block_of_another_zone_than_was_asked_for_is_not_permitted() -> None:
    own, other = ZONES[:2]
    assert given(0x20000, 4, own) == [] and given(0x20000, 4, other) == [("CORE-12", f"zone {own}")]


def test_memory_that_no_old_device_reaches_is_not_of_the_first_zone() -> None:
    usable, zone = [(Paddr(0xFFE000), Paddr(0x1002000))], (Segment(0, Pfn(0xFFE), Pfn(0x1002)),)
    state = replace(STATE, segments=zone, blocks=(FreeBlock(Pfn(0xFFE), 1, 0, 0),))
    for paddr, broken in ((0xFFF000, []), (0x1000000, [("CORE-12", "DMA")])):
        block, step = Owned(paddr_to_pfn(Paddr(paddr)), 0, "unmovable"), Alloc("a", 0, zone=ZONES[0])
        assert [one.key for one in judge_block(step, block, Paddr(paddr), state, usable)] == broken


@pytest.mark.parametrize("order", [5, 12])
def test_an_allocation_that_nothing_could_serve_may_fail(order: int) -> None:
    assert refused(order) == []


def test_an_allocation_may_not_fail_while_a_block_is_free() -> None:
    assert refused(4) == [("CORE-10", "OutOfMemory, with a block on a free list")]


def test_frames_in_caches_count_as_free() -> None:
    cached = replace(STATE, blocks=(), cached=((Pfn(20), 0, 0),))
    [(clause, got)] = refused(0, cached)
    assert clause == "CORE-10" and "caches" in got


def test_a_block_of_an_order_without_a_list_is_not_permitted() -> None:
    found = too_large(64, Paddr(0x20000), STATE.max_order)
    assert (found.key, found.expected) == (("CORE-12", "order"), "an error: the largest order is 11")
