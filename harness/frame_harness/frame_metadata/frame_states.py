"""Says of each frame of a memory state what it is, from its slot and the memory map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.constants import C, Constants
from frame_harness.frame_metadata.memory_state import MemoryState, mask_of_ranges

# Few enough slots that what is read of them once stays in the CPU's cache.
_CHUNK_SLOTS = 1 << 14


class FrameState(IntEnum):
    """What a frame is; a free one is FREE plus the order of its block, at most that of the contract."""

    HOLE = 0
    ARRAY = 1
    IMAGE = 2
    BOOT = 3
    RESERVED = 4
    CACHED = 5
    KERNEL = 6
    USER = 7
    BLOCK = 8  # allocated; its slot names no purpose
    QUARANTINED = 9
    POISONED = 10
    NOBODY = 11  # memory for the allocator that is neither free nor allocated
    CONFLICT = 12  # what its slot says cannot be: two owners, or an owner of memory that has none
    IDLE = 13  # memory of a guest whose allocator was never started
    FREE = 16


_OF_KIND = {
    "meta": FrameState.ARRAY,
    "kernel": FrameState.IMAGE,
    "boot": FrameState.BOOT,
    "reserved": FrameState.RESERVED,
    "acpi": FrameState.RESERVED,
}
_FREE, _ALLOCATED, _KERNEL, _USER, _POISON, _UNCOUNTED, _CACHED = (1 << bit for bit in range(7))


@dataclass(frozen=True, eq=False)
class FrameRuns:
    """The states of all frames as runs of equal ones.

    Args:
        starts: shape (k,), ascending pfns, the first of which is 0.
        states: shape (k,), uint8.
    """

    starts: NDArray[np.int64]
    states: NDArray[np.uint8]
    n_frames: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts, append=self.n_frames)

    def counts(self) -> dict[int, int]:
        """Frames in each state that occurs, by its number."""
        totals = np.bincount(self.states, weights=self.lengths, minlength=1)
        return {state: int(total) for state, total in enumerate(totals.tolist()) if total}

    def at(self, pfn: int) -> int:
        """The state of one frame."""
        return int(self.states[np.searchsorted(self.starts, pfn, side="right") - 1])

    def expanded(self) -> NDArray[np.uint8]:
        """A state for each frame."""
        return np.repeat(self.states, self.lengths)


def runs_of(states: NDArray[np.uint8]) -> FrameRuns:
    """Put neighbors in the same state together."""
    edges = np.flatnonzero(states[1:] != states[:-1]) + 1
    starts = np.concatenate([np.zeros(min(len(states), 1), np.int64), edges])
    return FrameRuns(starts, states[starts], len(states))


def frame_states(state: MemoryState) -> FrameRuns:
    """Classify every frame; without a map in the state what is off limits counts as reserved."""
    n_frames, constants = state.n_frames, state.constants
    cached = np.zeros(n_frames, dtype=np.bool_)
    pfns = state.cached["pfn"]
    cached[pfns[pfns < n_frames].astype(np.int64)] = True
    meaning = _meanings()
    states = np.empty(n_frames, dtype=np.uint8)
    for first in range(0, n_frames, _CHUNK_SLOTS):
        rows = slice(first, first + _CHUNK_SLOTS)
        slots = state.slots[rows]
        found = meaning[_signs(slots, cached[rows], constants)]
        order = np.minimum(slots["order"], C.max_order)
        states[rows] = np.where(found == FrameState.FREE, found + order, found)
    if state.quarantined is not None:
        known = state.quarantined[(state.quarantined >= 0) & (state.quarantined < n_frames)]
        healthy = states[known] < FrameState.POISONED
        states[known[healthy]] = FrameState.QUARANTINED
    _mark_what_has_no_owner(states, state)
    return runs_of(states)


def _signs(slots: NDArray[np.void], cached: NDArray[np.bool_], constants: Constants) -> NDArray[np.uint8]:
    flags, guard = slots["flags"], slots["guard"]
    signs = np.zeros(len(slots), dtype=np.uint8)
    for sign, present in (
        (_FREE, flags & np.uint32(constants.flag_free)),
        (_ALLOCATED, flags & np.uint32(constants.flag_allocated)),
        (_KERNEL, flags & np.uint32(constants.flag_kernel)),
        (_USER, flags & np.uint32(constants.flag_user)),
        (_POISON, guard & np.uint32(constants.guard_poisoned)),
        (_UNCOUNTED, slots["refcount"] == 0),
        (_CACHED, cached),
    ):
        signs[present != 0] |= np.uint8(sign)
    return signs


def _meanings() -> NDArray[np.uint8]:
    """The state for each set of signs."""
    return np.array([_meaning(signs) for signs in range(1 << 7)], dtype=np.uint8)


def _meaning(signs: int) -> FrameState:
    free, allocated = bool(signs & _FREE), bool(signs & _ALLOCATED)
    if (free and allocated) or (signs & _CACHED and not free):
        return FrameState.CONFLICT
    if signs & _POISON:
        nobodys = not free and signs & _UNCOUNTED
        return FrameState.QUARANTINED if nobodys else FrameState.POISONED
    if free:
        return FrameState.CACHED if signs & _CACHED else FrameState.FREE
    if not allocated:
        return FrameState.NOBODY
    if signs & _USER:
        return FrameState.USER
    return FrameState.KERNEL if signs & _KERNEL else FrameState.BLOCK


def free_frames_by_order(slots: NDArray[Any], constants: Constants = C) -> NDArray[np.int64]:
    """How many frames are free in blocks of each order, as slots say; those in caches count as order 0."""
    free = slots["order"][slots["flags"] & np.uint32(constants.flag_free) != 0]
    orders = np.minimum(free, constants.max_order)
    return np.bincount(orders, minlength=constants.max_order + 1).astype(np.int64)


def state_of_slot(*, flags: int, guard: int, refcount: int, order: int, constants: Constants = C) -> int:
    """The state of a frame that no cache and no memory map tells anything about, as in `FrameRuns`."""
    signs = sum(
        sign
        for sign, present in (
            (_FREE, flags & constants.flag_free),
            (_ALLOCATED, flags & constants.flag_allocated),
            (_KERNEL, flags & constants.flag_kernel),
            (_USER, flags & constants.flag_user),
            (_POISON, guard & constants.guard_poisoned),
            (_UNCOUNTED, refcount == 0),
        )
        if present
    )
    state = _meaning(signs)
    return state + min(order, C.max_order) if state is FrameState.FREE else int(state)


def _mark_what_has_no_owner(states: NDArray[np.uint8], state: MemoryState) -> None:
    """Mark holes and memory that is nobody's to give; what a slot there says to be owned is a conflict.

    Without any range of RAM no map is known, and nothing is a hole.
    """
    owned = states != FrameState.NOBODY
    if not state.zones:
        states[~owned] = FrameState.IDLE
    outside = ~mask_of_ranges(state.ram, len(states)) & bool(len(state.ram))
    states[outside] = np.where(owned[outside], FrameState.CONFLICT, FrameState.HOLE)
    for first, end, kind in _without_owner(state):
        rows = slice(min(max(first, 0), len(states)), min(max(end, 0), len(states)))
        states[rows] = np.where(owned[rows], FrameState.CONFLICT, kind)


def _without_owner(state: MemoryState) -> Iterator[tuple[int, int, FrameState]]:
    yield from ((first, end, FrameState.RESERVED) for first, end in state.off_limits.tolist())
    yield from ((one.first, one.end, _OF_KIND[one.kind]) for one in state.map if one.kind in _OF_KIND)
