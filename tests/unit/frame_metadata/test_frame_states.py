"""Proves that each frame is given the state that its slot, the caches and the memory map tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from frame_harness.base.units import Pfn, frames_from
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import (
    WORDS,
    FrameState,
    frame_states,
    free_frames_by_order,
    runs_of,
    state_of_slot,
    words_of,
)
from frame_harness.frame_metadata.memory_state import MapRange, MemoryState, Zone, cached_frames, pfn_ranges
from tests.support.synthetic import SLOT, SMALL, healthy_state

FREE, HELD = C.flag_free, C.flag_allocated


def state(**columns: list[int]) -> MemoryState:
    """A few frames of RAM with these fields, in a zone whose lists are empty."""
    slots = np.zeros(len(next(iter(columns.values()))), dtype=SLOT)
    slots["refcount"] = C.refcount_unused
    for name, values in columns.items():
        slots[name] = values
    heads = np.full((2, C.max_order + 1), C.link_none, dtype=np.uint64)
    zone = Zone("normal", Pfn(0), Pfn(len(slots)), heads, 0, 0, 0, 0, 0, 0)
    return MemoryState(slots, (zone,), cached_frames([]), pfn_ranges([(0, len(slots))]), pfn_ranges([]))


def states_of(memory: MemoryState) -> list[int]:
    return [int(state) for state in frame_states(memory).expanded()]


def test_a_free_frame_has_the_order_of_its_block() -> None:
    assert states_of(state(flags=[FREE] * 3, order=[0, 3, C.max_order])) == [
        FrameState.FREE, FrameState.FREE + 3, FrameState.FREE + C.max_order,
    ]  # fmt: skip


def test_an_order_that_cannot_be_counts_as_the_largest() -> None:
    memory = state(flags=[FREE], order=[255])
    largest = [FrameState.FREE + C.max_order]
    assert states_of(memory) == largest
    # Of an allocator with larger blocks, too: there is a look for each order of the contract.
    zones = tuple(replace(zone, heads=np.full((2, 19), C.link_none)) for zone in memory.zones)
    assert states_of(replace(memory, constants=replace(C, max_order=18), zones=zones)) == largest


def test_a_live_frame_has_its_purpose() -> None:
    flags = [HELD | C.flag_kernel, HELD | C.flag_user | C.flag_movable, HELD]
    assert states_of(state(flags=flags)) == [FrameState.KERNEL, FrameState.USER, FrameState.BLOCK]


def test_a_frame_in_a_cache_is_told_from_one_on_a_list() -> None:
    memory = replace(state(flags=[FREE, FREE]), cached=cached_frames([(1, 0, 0), (99, 0, 0)]))
    assert states_of(memory) == [FrameState.FREE, FrameState.CACHED]


def test_poison_is_quarantined_where_nobody_holds_it() -> None:
    memory = state(flags=[HELD, HELD | C.flag_user, FREE], guard=[C.guard_poisoned] * 3, refcount=[0, 1, 0])
    assert states_of(memory) == [FrameState.QUARANTINED, FrameState.POISONED, FrameState.POISONED]


def test_frames_that_the_allocator_counts_as_quarantined_are_so() -> None:
    memory = replace(state(flags=[HELD, HELD]), quarantined=np.array([1, 7], dtype=np.int64))
    assert states_of(memory) == [FrameState.BLOCK, FrameState.QUARANTINED]


def test_poison_speaks_for_the_dropped_frames_beside_it() -> None:
    """The block in quarantine has three frames; one that was dropped apart from it is nobody's."""
    memory = state(
        flags=[HELD, 0, HELD, HELD | C.flag_kernel, HELD, 0],
        guard=[0, 0, C.guard_poisoned, 0, 0, 0],
        refcount=[1, 0, 0, 0, 1, 0],
    )
    assert states_of(memory) == [
        FrameState.BLOCK, FrameState.QUARANTINED, FrameState.QUARANTINED, FrameState.QUARANTINED,
        FrameState.BLOCK, FrameState.NOBODY,
    ]  # fmt: skip


def test_quarantine_ends_where_the_allocator_s_memory_does() -> None:
    memory = replace(
        state(flags=[0] * 4, guard=[0, 0, C.guard_poisoned, 0], refcount=[0] * 4),
        off_limits=pfn_ranges([(0, 2)]),
        ram=pfn_ranges([(0, 3)]),
    )
    assert states_of(memory) == [
        FrameState.RESERVED, FrameState.RESERVED, FrameState.QUARANTINED, FrameState.HOLE,
    ]  # fmt: skip


def test_without_a_map_quarantine_ends_where_nothing_is_allocated() -> None:
    memory = replace(
        state(flags=[0, HELD, HELD], guard=[0, C.guard_poisoned, 0], refcount=[0] * 3), ram=pfn_ranges([])
    )
    assert states_of(memory) == [FrameState.NOBODY, FrameState.QUARANTINED, FrameState.QUARANTINED]


def test_who_knows_the_quarantine_decides() -> None:
    poisoned = state(flags=[HELD] * 3, guard=[C.guard_poisoned] * 3, refcount=[0] * 3)
    memory = replace(poisoned, quarantined=np.array([1], dtype=np.int64))
    assert states_of(memory) == [FrameState.POISONED, FrameState.QUARANTINED, FrameState.POISONED]


def test_a_free_frame_that_is_known_to_be_in_quarantine_is_a_conflict() -> None:
    memory = replace(state(flags=[FREE, FREE]), quarantined=np.array([0], dtype=np.int64))
    assert states_of(memory) == [FrameState.CONFLICT, FrameState.FREE]


def test_without_an_allocator_there_is_no_quarantine() -> None:
    memory = replace(state(flags=[0, 0], guard=[C.guard_poisoned, 0], refcount=[0, 0]), zones=())
    assert states_of(memory) == [FrameState.POISONED, FrameState.IDLE]


@pytest.mark.parametrize("where", [{"flags": [HELD | C.flag_poisoned]}, {"guard": [C.guard_poisoned]}])
def test_poison_is_seen_in_either_word(where: dict[str, list[int]]) -> None:
    assert states_of(state(**{"flags": [HELD], **where})) == [FrameState.POISONED]


def test_poison_is_shown_also_where_nobody_may_own_memory() -> None:
    memory = replace(state(flags=[0, HELD], guard=[C.guard_poisoned] * 2), off_limits=pfn_ranges([(0, 2)]))
    assert states_of(memory) == [FrameState.POISONED, FrameState.CONFLICT]


@pytest.mark.parametrize(
    "flags", [FREE | HELD, FREE | HELD | C.flag_kernel, HELD | C.flag_kernel | C.flag_user]
)
def test_two_owners_are_a_conflict(flags: int) -> None:
    assert states_of(state(flags=[flags])) == [FrameState.CONFLICT]


def test_a_frame_in_a_cache_that_somebody_holds_is_a_conflict() -> None:
    assert states_of(replace(state(flags=[HELD]), cached=cached_frames([(0, 0, 0)]))) == [FrameState.CONFLICT]


def test_memory_without_flags_is_nobodys() -> None:
    assert states_of(state(flags=[0])) == [FrameState.NOBODY]


def test_without_an_allocator_memory_without_flags_is_idle() -> None:
    memory = replace(state(flags=[0, C.flag_allocated]), zones=())
    assert states_of(memory) == [FrameState.IDLE, FrameState.BLOCK]


def test_the_map_tells_apart_what_no_allocator_owns() -> None:
    kinds = ("meta", "kernel", "boot", "reserved", "acpi", "ram")
    memory = replace(
        state(flags=[0] * 6),
        off_limits=pfn_ranges([(0, 5)]),
        map=tuple(MapRange(Pfn(at), Pfn(at + 1), kind) for at, kind in enumerate(kinds)),
    )
    assert states_of(memory) == [
        FrameState.ARRAY, FrameState.IMAGE, FrameState.BOOT, FrameState.RESERVED, FrameState.RESERVED,
        FrameState.NOBODY,
    ]  # fmt: skip


def test_what_is_off_limits_and_yet_owned_is_a_conflict() -> None:
    memory = replace(state(flags=[FREE, HELD, 0]), off_limits=pfn_ranges([(0, 3)]))
    assert states_of(memory) == [FrameState.CONFLICT, FrameState.CONFLICT, FrameState.RESERVED]


def test_a_hole_is_no_memory_and_a_free_one_is_a_conflict() -> None:
    memory = replace(state(flags=[0, FREE, 0]), ram=pfn_ranges([(2, 3)]))
    assert states_of(memory) == [FrameState.HOLE, FrameState.CONFLICT, FrameState.NOBODY]


def test_without_a_map_nothing_is_a_hole() -> None:
    assert states_of(replace(state(flags=[FREE]), ram=pfn_ranges([]))) == [FrameState.FREE]


def test_a_healthy_memory_has_neither_conflicts_nor_frames_of_nobody() -> None:
    memory = healthy_state(SMALL)
    counts = frame_states(memory).counts()
    assert not {FrameState.CONFLICT, FrameState.NOBODY} & counts.keys()
    assert sum(counts.values()) == memory.n_frames
    assert sum(frames for state, frames in counts.items() if state >= FrameState.FREE) == sum(
        zone.free for zone in memory.zones
    )


def test_free_frames_are_counted_by_order() -> None:
    memory = healthy_state(SMALL)
    counted = free_frames_by_order(memory.slots)
    states = frame_states(memory).counts()
    listed = [states.get(FrameState.FREE + order, 0) for order in range(C.max_order + 1)]
    listed[0] += states[FrameState.CACHED]
    assert counted.tolist() == listed


def test_runs_say_the_same_as_the_frames() -> None:
    states = np.array([0, 0, 6, 6, 6, 0, 17], dtype=np.uint8)
    runs = runs_of(states)
    assert runs.expanded().tolist() == states.tolist()
    assert [runs.at(pfn) for pfn in frames_from(Pfn(0), 7)] == states.tolist()
    assert runs.counts() == {0: 3, 6: 3, 17: 1}
    assert runs_of(states[:0]).expanded().tolist() == []


def test_a_state_has_the_same_words_everywhere() -> None:
    assert [words_of(FrameState.USER), words_of(FrameState.FREE + 3)] == ["live, user", "free, order 3"]
    assert len(set(WORDS.values())) == len(FrameState)


def test_one_slot_alone_is_told_alike() -> None:
    memory = healthy_state(SMALL)
    found = frame_states(memory).expanded()
    alike = ~np.isin(found, [FrameState.CACHED, FrameState.QUARANTINED, FrameState.HOLE, FrameState.RESERVED])
    for pfn in np.flatnonzero(alike)[::997].tolist():
        slot = memory.slots[pfn]
        flags, guard, refcount, order = (int(slot[name]) for name in ("flags", "guard", "refcount", "order"))
        told = state_of_slot(flags=flags, guard=guard, refcount=refcount, order=order)
        assert told == found[pfn]
