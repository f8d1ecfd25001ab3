"""States of frames against what made-up memories were made of, and against a booted guest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import FrameState, runs_of, state_of_slot, states_by_frame
from frame_harness.frame_metadata.memory_state import MapRange, MemoryState, mask_of_ranges
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from tests.property.test_invariants_property import WORDS, shapes
from tests.support.synthetic import SMALL, Shape, healthy_state

HEALTHY = healthy_state(SMALL)
LARGEST_STATE = FrameState.FREE + C.max_order
COUNTED = {
    "free": range(FrameState.FREE, LARGEST_STATE + 1),
    "cached": (FrameState.CACHED,),
    "allocated": (FrameState.KERNEL, FrameState.USER, FrameState.BLOCK),
    "quarantined": (FrameState.QUARANTINED,),
}
NO_ORDER = 255
FIELDS = st.integers(0, 2**32 - 1) | st.sampled_from([0, C.flag_free, C.flag_allocated, C.guard_poisoned])


def counts(states: NDArray[np.uint8]) -> dict[str, int]:
    return {name: int(np.isin(states, list(ones)).sum()) for name, ones in COUNTED.items()}


@given(shapes(), st.booleans())
def test_healthy_memory_has_as_many_frames_of_a_state_as_its_zones_count(shape: Shape, told: bool) -> None:
    state = healthy_state(shape)
    states = states_by_frame(state if told else replace(state, quarantined=None))
    assert counts(states) == {name: sum(getattr(zone, name) for zone in state.zones) for name in COUNTED}
    wrong = [FrameState.CONFLICT, FrameState.NOBODY, FrameState.POISONED, FrameState.IDLE]
    assert not np.isin(states, wrong).any()
    if len(state.ram):
        off_limits = mask_of_ranges(state.off_limits, len(states))
        assert np.array_equal(states == FrameState.RESERVED, off_limits)
        outside = ~mask_of_ranges(state.ram, len(states)) & ~off_limits
        assert np.array_equal(states == FrameState.HOLE, outside)


@given(shapes())
def test_blocks_on_the_lists_are_the_free_runs_of_their_order(shape: Shape) -> None:
    state = healthy_state(shape)
    states, listed = states_by_frame(state), np.full(state.n_frames, NO_ORDER, dtype=np.uint8)
    for zone in state.zones:
        for order in range(C.max_order + 1):
            for head in zone.heads[:, order].tolist():
                link = head
                while link != C.link_none:
                    listed[link >> 12 : (link >> 12) + (1 << order)] = order
                    link = int(state.slots["next"][link >> 12])
    free = states >= FrameState.FREE
    assert np.array_equal(np.where(free, states - FrameState.FREE, NO_ORDER), listed)


@given(st.integers(0, HEALTHY.n_frames - 1), st.sampled_from(["flags", "refcount", "guard", "order"]), WORDS)
def test_any_word_in_a_slot_changes_the_state_of_few_frames_and_breaks_nothing(
    pfn: Pfn, field: str, word: int
) -> None:
    slots = HEALTHY.slots.copy()
    slots[field][pfn] = word & (2 ** (8 * slots.dtype[field].itemsize) - 1)
    before, after = states_by_frame(HEALTHY), states_by_frame(replace(HEALTHY, slots=slots))
    assert set(np.flatnonzero(before != after).tolist()) <= {pfn}
    assert set(after.tolist()) <= {*FrameState, *range(FrameState.FREE, LARGEST_STATE + 1)}


@given(FIELDS, FIELDS, FIELDS, st.integers(0, 255))
def test_any_slot_alone_is_told_as_in_a_table(flags: int, guard: int, refcount: int, order: int) -> None:
    pfn = Pfn(a_frame(FrameState.KERNEL))
    state = replace(changed(pfn, flags=flags, guard=guard, refcount=refcount, order=order), quarantined=None)
    told = state_of_slot(flags=flags, guard=guard, refcount=refcount, order=order)
    assert states_by_frame(state)[pfn] == told


def changed(pfn: Pfn, **fields: int) -> MemoryState:
    state = HEALTHY.copied()
    for name, value in fields.items():
        state.slots[name][pfn] = value
    return state


def a_frame(state: int) -> int:
    return int(np.flatnonzero(states_by_frame(HEALTHY) == state)[3])


@pytest.mark.parametrize(
    ("of", "fields", "is_"),
    [
        (FrameState.FREE, {"flags": 0}, FrameState.NOBODY),
        (FrameState.FREE, {"flags": C.flag_free | C.flag_allocated}, FrameState.CONFLICT),
        (FrameState.FREE, {"guard": C.guard_poisoned}, FrameState.POISONED),
        (FrameState.CACHED, {"flags": C.flag_allocated, "refcount": 1}, FrameState.CONFLICT),
        (FrameState.USER, {"flags": C.flag_free, "refcount": C.refcount_unused}, FrameState.FREE),
        (FrameState.USER, {"flags": C.flag_allocated | C.flag_poisoned}, FrameState.POISONED),
        (FrameState.KERNEL, {"refcount": 0}, FrameState.KERNEL),
        (FrameState.HOLE, {"flags": C.flag_allocated, "refcount": 1}, FrameState.CONFLICT),
        (FrameState.RESERVED, {"guard": C.guard_poisoned}, FrameState.POISONED),
    ],
)
def test_slot_that_says_otherwise_is_shown(of: FrameState, fields: dict[str, int], is_: FrameState) -> None:
    pfn = Pfn(a_frame(of))
    assert states_by_frame(changed(pfn, **fields))[pfn] == is_


def test_dropped_and_poisoned_frame_is_in_quarantine_unless_the_caller_knows_better() -> None:
    pfn = Pfn(a_frame(FrameState.USER))
    state = replace(changed(pfn, refcount=0, guard=C.guard_poisoned), quarantined=None)
    assert states_by_frame(state)[pfn] == FrameState.QUARANTINED
    assert states_by_frame(replace(state, quarantined=HEALTHY.quarantined))[pfn] == FrameState.POISONED


def test_range_of_the_map_beyond_the_table_is_cut() -> None:
    map_ = (
        MapRange(Pfn(HEALTHY.n_frames - 1), Pfn(1 << 40), "kernel"),
        MapRange(Pfn(1 << 40), Pfn(1 << 41), "boot"),
    )
    state = replace(changed(Pfn(HEALTHY.n_frames - 1), flags=0, guard=0), map=map_)
    states = states_by_frame(state)
    assert states[-1] == FrameState.IMAGE
    assert np.array_equal(states[:-1], states_by_frame(HEALTHY)[:-1])


@given(st.lists(st.integers(0, 3), max_size=40))
def test_runs_tile_what_they_are_of(values: list[int]) -> None:
    runs = runs_of(np.array(values, dtype=np.uint8))
    assert runs.expanded().tolist() == values
    assert all(one != other for one, other in itertools.pairwise(runs.states.tolist()))


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        yield kernel


def test_booted_guest_has_the_states_that_it_was_led_to(kernel: Kernel) -> None:
    user, dropped = kernel.alloc(purpose="user", zeroed=False), kernel.alloc(purpose="kernel", zeroed=False)
    block, poisoned = kernel.buddy_alloc(2, "unmovable"), kernel.alloc(zeroed=False)
    put_away = kernel.buddy_alloc(3, "unmovable")
    for paddr in (dropped, poisoned, Paddr(put_away + (5 << 12))):
        kernel.slot(paddr).mark_poisoned()
    kernel.slot(dropped).set_refcount(0)
    kernel.buddy_free(dropped, 0)
    kernel.buddy_free(put_away, 3)
    states = states_by_frame(kernel.state())
    assert [FrameState(states[paddr >> 12]) for paddr in (user, dropped, block, poisoned)] == [
        FrameState.USER, FrameState.QUARANTINED, FrameState.BLOCK, FrameState.POISONED,
    ]  # fmt: skip
    whole = states[put_away >> 12 : (put_away >> 12) + 8]
    assert set(whole.tolist()) == {FrameState.QUARANTINED}
    assert states[kernel.witness.meta_paddr >> 12] == FrameState.ARRAY
    assert states[0x100] == FrameState.IMAGE
    stats, counted = kernel.stats(), counts(states)
    assert counted["free"] + counted["cached"] == stats["free"] + stats["cached"]
    assert counted["quarantined"] == stats["quarantined"] == 9
    assert not np.isin(states, [FrameState.CONFLICT, FrameState.NOBODY]).any()
