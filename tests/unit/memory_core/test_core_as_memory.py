"""Proves that a memory core's state says the same in the terms of a frame module's."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Paddr, Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.memory_core.leavings import as_memory
from frame_harness.memory_core.lists import walked
from frame_harness.memory_core.maps import MapRegion, MemoryMap, RegionKind
from frame_harness.memory_core.state import CoreState, FreeBlock, Segment, Structure
from tests.support.synthetic import SLOT, SMALL, healthy_state

MAP = MemoryMap("", (MapRegion(0x10000, 0x20000), MapRegion(0x18800, 0x100, RegionKind.RESERVED)))
STATE = CoreState(
    segments=(Segment(0, Pfn(18), Pfn(32)), Segment(1, Pfn(32), Pfn(48))),
    blocks=(FreeBlock(Pfn(20), 1, 0, 0), FreeBlock(Pfn(28), 1, 0, 0), FreeBlock(Pfn(32), 3, 1, 1)),
    faults=(),
    cached=((Pfn(18), 0, 0), (Pfn(40), 1, 0), (Pfn(1 << 30), 0, 0)),
    zones=(),
    structures=(Structure("slot table", (Paddr(0x10000), Paddr(0x11800))),),
    max_order=9,
)
SLOTS = healthy_state(SMALL).slots[:64]


def test_zones_count_what_lists_and_caches_hold() -> None:
    low, high = as_memory(STATE, SLOTS, MAP).zones
    assert (low.managed, low.free, low.cached, low.allocated) == (14, 4, 1, 9)
    assert (high.managed, high.free, high.cached, high.allocated) == (16, 8, 1, 7)


def test_the_first_block_of_a_list_is_its_head() -> None:
    low, high = as_memory(STATE, SLOTS, MAP).zones
    assert low.heads.shape == (2, 10)
    assert low.heads[0, 1] == 20 << 12 and high.heads[1, 3] == 32 << 12
    assert np.count_nonzero(low.heads != C.link_none) == np.count_nonzero(high.heads != C.link_none) == 1


def test_memory_that_is_forbidden_or_the_core_s_own_is_off_limits_in_whole_frames() -> None:
    memory = as_memory(STATE, SLOTS, MAP)
    frames = {int(pfn) for first, end in memory.off_limits for pfn in range(first, end)}
    assert {16, 17, 24} <= frames and not {18, 23, 25} & frames


def test_cached_frames_beyond_the_table_are_left_out() -> None:
    assert len(as_memory(STATE, SLOTS, MAP).cached) == 2


def test_a_list_is_walked_to_its_end_or_to_the_first_wrong_link() -> None:
    slots = np.zeros(64, SLOT)
    slots["next"][20], slots["prev"][28] = 28 << 12, 20 << 12
    head = (0, 0, 1, Paddr(20 << 12))
    blocks = [FreeBlock(Pfn(20), 1, 0, 0), FreeBlock(Pfn(28), 1, 0, 0)]
    assert walked([head], slots) == (blocks, [])
    slots["next"][28] = 20 << 12
    assert walked([head], slots)[0] == blocks and "circle" in walked([head], slots)[1][0].what
