"""States of frames against what made-up memories were made of, and against a booted guest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_kinds import (
    NO_ORDER,
    Frames,
    FrameState,
    Purpose,
    frames_of,
    runs,
    states,
)
from frame_harness.frame_metadata.memory_state import MemoryState, mask_of_ranges
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.kernel import Kernel
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from tests.property.test_invariants_property import WORDS, shapes
from tests.support.synthetic import SMALL, Shape, healthy_state

HEALTHY = healthy_state(SMALL)
COUNTED = {
    "free": FrameState.FREE,
    "cached": FrameState.CACHED,
    "allocated": FrameState.LIVE,
    "quarantined": FrameState.QUARANTINED,
}


@dataclass(frozen=True)
class Region:
    base: int
    end: int
    kind: str


def count(found: Frames, state: FrameState) -> int:
    return int(np.count_nonzero(found.states == state))


@given(shapes(), st.booleans())
def test_healthy_memory_has_as_many_frames_of_a_state_as_its_zones_count(shape: Shape, told: bool) -> None:
    state = healthy_state(shape)
    found = frames_of(state if told else replace(state, quarantined=None))
    assert {name: count(found, one) for name, one in COUNTED.items()} == {
        name: sum(getattr(zone, name) for zone in state.zones) for name in COUNTED
    }
    assert count(found, FrameState.UNKNOWN) == count(found, FrameState.POISONED) == 0
    assert np.array_equal(
        found.states == FrameState.RESERVED, mask_of_ranges(state.off_limits, len(found.states))
    )


@given(shapes())
def test_blocks_on_the_lists_are_the_free_runs_of_their_order(shape: Shape) -> None:
    state = healthy_state(shape)
    found, listed = frames_of(state), np.full(state.n_frames, NO_ORDER, dtype=np.uint8)
    for zone in state.zones:
        for order in range(C.max_order + 1):
            for head in zone.heads[:, order].tolist():
                link = head
                while link != C.link_none:
                    listed[link >> 12 : (link >> 12) + (1 << order)] = order
                    link = int(state.slots["next"][link >> 12])
    free = found.states == FrameState.FREE
    assert np.array_equal(np.where(free, found.orders, NO_ORDER), listed)


@given(st.integers(0, HEALTHY.n_frames - 1), st.sampled_from(["flags", "refcount", "guard", "order"]), WORDS)
def test_any_word_in_a_slot_changes_the_state_of_few_frames_and_breaks_nothing(
    pfn: int, field: str, word: int
) -> None:
    slots = HEALTHY.slots.copy()
    slots[field][pfn] = word & (2 ** (8 * slots.dtype[field].itemsize) - 1)
    before, after = states(HEALTHY), states(replace(HEALTHY, slots=slots))
    assert set(np.flatnonzero(before != after).tolist()) <= {pfn}
    assert max(after.tolist()) <= max(FrameState)


def changed(pfn: int, **fields: int) -> MemoryState:
    state = HEALTHY.copied()
    for name, value in fields.items():
        state.slots[name][pfn] = value
    return state


def a_frame(state: FrameState) -> int:
    return int(np.flatnonzero(states(HEALTHY) == state)[3])


@pytest.mark.parametrize(
    ("of", "fields", "is_"),
    [
        (FrameState.FREE, {"flags": 0}, FrameState.UNKNOWN),
        (FrameState.FREE, {"flags": C.flag_free | C.flag_allocated}, FrameState.UNKNOWN),
        (FrameState.FREE, {"guard": C.guard_poisoned}, FrameState.POISONED),
        (FrameState.CACHED, {"flags": C.flag_allocated, "refcount": 1}, FrameState.UNKNOWN),
        (FrameState.LIVE, {"flags": C.flag_free, "refcount": C.refcount_unused}, FrameState.FREE),
        (FrameState.LIVE, {"flags": C.flag_poisoned}, FrameState.POISONED),
        (FrameState.LIVE, {"refcount": 0}, FrameState.LIVE),
        (FrameState.HOLE, {"flags": C.flag_allocated, "refcount": 1}, FrameState.HOLE),
        (FrameState.RESERVED, {"guard": C.guard_poisoned}, FrameState.RESERVED),
    ],
)
def test_slot_that_says_otherwise_is_shown(of: FrameState, fields: dict[str, int], is_: FrameState) -> None:
    pfn = a_frame(of)
    assert states(changed(pfn, **fields))[pfn] == is_


def test_dropped_and_poisoned_frame_is_in_quarantine_unless_the_caller_knows_better() -> None:
    pfn = a_frame(FrameState.LIVE)
    state = replace(changed(pfn, refcount=0, guard=C.guard_poisoned), quarantined=None)
    assert states(state)[pfn] == FrameState.QUARANTINED
    assert states(replace(state, quarantined=HEALTHY.quarantined))[pfn] == FrameState.POISONED


def test_map_tells_the_image_and_the_array_from_what_is_reserved() -> None:
    regions = [
        Region(0, 0x1000, "boot"),
        Region(0x100000, 0x200001, "kernel"),
        Region(0x300000, 0x301000, "meta"),
    ]
    found = frames_of(
        HEALTHY, [*regions, Region(0x400000, 0x500000, "ram"), Region(1 << 45, 1 << 46, "reserved")]
    )
    assert set(found.states[0x100:0x201]) == {FrameState.IMAGE}, "also the frame that it ends in"
    assert found.states[0x201] != FrameState.IMAGE
    assert (found.states[0], found.states[0x300]) == (FrameState.RESERVED, FrameState.ARRAY)
    assert found.orders[0x100] == NO_ORDER
    assert np.array_equal(found.states[0x400:0x500], states(HEALTHY)[0x400:0x500])


def test_purposes_are_those_of_live_frames() -> None:
    found = frames_of(HEALTHY)
    flags, live = HEALTHY.slots["flags"], found.states == FrameState.LIVE
    for purpose, flag in ((Purpose.KERNEL, C.flag_kernel), (Purpose.USER, C.flag_user)):
        assert np.array_equal(found.purposes == purpose, live & (flags & flag != 0))


@given(st.lists(st.integers(0, 3), max_size=40))
def test_runs_tile_what_they_are_of(values: list[int]) -> None:
    tiles = list(runs(np.array(values, dtype=np.uint8)))
    assert [value for first, end, value in tiles for _ in range(first, end)] == values
    assert all(one[1] == other[0] and one[2] != other[2] for one, other in itertools.pairwise(tiles))


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        yield kernel


def test_booted_guest_has_the_states_that_it_was_led_to(kernel: Kernel) -> None:
    user, dropped = kernel.alloc(purpose="user", zeroed=False), kernel.alloc(purpose="kernel", zeroed=False)
    block, poisoned = kernel.buddy_alloc(2, "unmovable"), kernel.alloc(zeroed=False)
    for paddr in (dropped, poisoned):
        kernel.slot(paddr).mark_poisoned()
    kernel.slot(dropped).set_refcount(0)
    kernel.buddy_free(dropped, 0)
    found = frames_of(kernel.state(), kernel.memory_map())
    of = {paddr: found.states[paddr >> 12] for paddr in (user, dropped, block, poisoned)}
    assert list(map(FrameState, of.values())) == [
        FrameState.LIVE, FrameState.QUARANTINED, FrameState.LIVE, FrameState.POISONED,
    ]  # fmt: skip
    assert found.purposes[user >> 12] == Purpose.USER
    assert found.orders[block >> 12] == 2
    assert found.states[kernel.witness.meta_paddr >> 12] == FrameState.ARRAY
    assert found.states[0x100] == FrameState.IMAGE
    stats = kernel.stats()
    counts = {name: count(found, one) for name, one in COUNTED.items()}
    assert counts["free"] + counts["cached"] == stats["free"] + stats["cached"]
    assert counts["quarantined"] == stats["quarantined"] == 1
