"""Says of each frame of a memory state what it is, from its slot and the memory map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C, Constants
from frame_harness.frame_metadata.memory_state import MemoryState, mask_of_ranges

States = NDArray[np.uint8]

# Few enough slots that what is read of them once stays in the CPU's cache.
_PIECE_SLOTS = 1 << 14


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
    CONFLICT = 12  # what its slot says cannot be: two owners or purposes, or an owner of memory that has none
    IDLE = 13  # memory of a guest whose allocator was never started
    FREE = 16


WORDS: Final = {
    FrameState.HOLE: "hole",
    FrameState.ARRAY: "slot table",
    FrameState.IMAGE: "kernel image",
    FrameState.BOOT: "boot structure",
    FrameState.RESERVED: "reserved",
    FrameState.CACHED: "in a CPU's cache",
    FrameState.KERNEL: "live, kernel",
    FrameState.USER: "live, user",
    FrameState.BLOCK: "live, no purpose named",
    FrameState.QUARANTINED: "quarantined",
    FrameState.POISONED: "poisoned",
    FrameState.NOBODY: "neither free nor allocated",
    FrameState.CONFLICT: "slot contradicts its owner",
    FrameState.IDLE: "no allocator was started",
    FrameState.FREE: "free",
}
"""What people are shown of a state; `words_of` adds the order of a free one."""

OF_KIND: Final = {
    "meta": FrameState.ARRAY,
    "kernel": FrameState.IMAGE,
    "boot": FrameState.BOOT,
    "reserved": FrameState.RESERVED,
    "acpi": FrameState.RESERVED,
}
_FREE, _ALLOCATED, _KERNEL, _USER, _POISON, _UNCOUNTED, _CACHED = (1 << bit for bit in range(7))
_CLAIMED: Final = np.uint8(_FREE | _ALLOCATED | _CACHED)


@dataclass(frozen=True, eq=False)
class FrameRuns:
    """The states of all frames as runs of equal ones."""

    starts: NDArray[np.int64]
    """Shape (k,), ascending pfns, the first of which is 0."""
    states: NDArray[np.uint8]
    """Shape (k,), uint8."""
    n_frames: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of frames in each run, shape (k,)."""
        return np.diff(self.starts, append=self.n_frames)

    def counts(self) -> dict[int, int]:
        """Frames in each state that occurs, by its number."""
        totals = np.bincount(self.states, weights=self.lengths, minlength=1)
        return {state: int(total) for state, total in enumerate(totals.tolist()) if total}

    def at(self, pfn: Pfn) -> int:
        """The number of the state of one frame, as in `states`."""
        return int(self.states[np.searchsorted(self.starts, pfn, side="right") - 1])

    def expanded(self) -> NDArray[np.uint8]:
        """A state for each frame."""
        return np.repeat(self.states, self.lengths)


def runs_of(states: NDArray[np.uint8]) -> FrameRuns:
    """Put neighbors in the same state together, out of a state for each frame."""
    edges = np.flatnonzero(states[1:] != states[:-1]) + 1
    starts = np.concatenate([np.zeros(min(len(states), 1), np.int64), edges])
    return FrameRuns(starts, states[starts], len(states))


def words_of(state: int) -> str:
    """A state, by its number, in words: `live, user`, `free, order 3`."""
    if state >= FrameState.FREE:
        return f"{WORDS[FrameState.FREE]}, order {state - FrameState.FREE}"
    return WORDS[FrameState(state)]


def frame_states(state: MemoryState) -> FrameRuns:
    """Classify every frame, as `states_by_frame` does."""
    return runs_of(states_by_frame(state))


def states_by_frame(state: MemoryState) -> States:
    """Classify every frame; without a map in the state what is off limits counts as reserved.

    Where nobody names the frames in quarantine, those count as such that slots show. A frame that its last
    owner has just dropped cannot be told from its neighbor in quarantine.

    Returns:
        Shape (n_frames,), numbers as in `FrameRuns`.
    """
    n_frames = state.n_frames
    states, signs = np.empty(n_frames, dtype=np.uint8), np.empty(n_frames, dtype=np.uint8)
    for first in range(0, n_frames, _PIECE_SLOTS):
        rows = slice(first, first + _PIECE_SLOTS)
        slots = state.slots[rows]
        signs[rows] = _signs(slots["flags"], slots["guard"], slots["refcount"], state.constants)
        states[rows] = _told(signs[rows], slots["order"])
    pfns = state.cached["pfn"]
    pfns = pfns[pfns < n_frames].astype(np.int64)
    signs[pfns] |= np.uint8(_CACHED)
    states[pfns] = _MEANINGS[signs[pfns]]  # none of them is FREE, so no order is lost
    _mark_quarantine(states, signs, state)
    if not state.zones:
        states[states == FrameState.NOBODY] = FrameState.IDLE
    _mark_what_has_no_owner(states, signs, state)
    return states


# ---- what slots say ---------------------------------------------------------------------------------------


def _signs(flags: NDArray[Any], guard: NDArray[Any], refcount: NDArray[Any], constants: Constants) -> States:
    flags = np.ascontiguousarray(flags, dtype=np.uint32)
    signs: States = (refcount == 0) * np.uint8(_UNCOUNTED)
    for sign, bit in (
        (_FREE, constants.flag_free),
        (_ALLOCATED, constants.flag_allocated),
        (_KERNEL, constants.flag_kernel),
        (_USER, constants.flag_user),
        (_POISON, constants.flag_poisoned),
    ):
        signs |= ((flags & np.uint32(bit)) != 0) * np.uint8(sign)
    signs |= ((guard & np.uint32(constants.guard_poisoned)) != 0) * np.uint8(_POISON)
    return signs


def _told(signs: States, order: NDArray[Any]) -> States:
    """The states by signs; an order beyond what can be drawn counts as the largest."""
    states: States = _MEANINGS[signs]  # a copy
    states += np.minimum(order, np.uint8(C.max_order)) * (states == FrameState.FREE)
    return states


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
        return FrameState.CONFLICT if signs & _KERNEL else FrameState.USER
    return FrameState.KERNEL if signs & _KERNEL else FrameState.BLOCK


_MEANINGS: Final = np.array([_meaning(signs) for signs in range(1 << 7)], dtype=np.uint8)
"""The state for each set of signs."""


def free_frames_by_order(slots: NDArray[Any]) -> NDArray[np.int64]:
    """How many frames are free in blocks of each order, as slots say; those in caches count as order 0.

    Args:
        slots: shape (n_frames,).
    Returns:
        Shape (max_order + 1,), by order; an order beyond the largest counts as that.
    """
    free = slots["order"][slots["flags"] & np.uint32(C.flag_free) != 0]
    orders = np.minimum(free, C.max_order)
    return np.bincount(orders, minlength=C.max_order + 1).astype(np.int64)


def state_of_slot(*, flags: int, guard: int, refcount: int, order: int) -> int:
    """The state of a frame that no cache and no memory map tells anything about, as in `FrameRuns`."""
    row = np.array([[flags], [guard], [refcount]], dtype=np.uint32)
    signs = _signs(row[0], row[1], row[2], C)
    return int(_told(signs, np.array([order], dtype=np.uint8))[0])


# ---- what slots alone do not say --------------------------------------------------------------------------


def _mark_quarantine(states: States, signs: States, state: MemoryState) -> None:
    """Let the caller's knowledge decide; without it, poison speaks for the whole block that it lies in."""
    if state.quarantined is not None:
        states[states == FrameState.QUARANTINED] = FrameState.POISONED
        known = state.quarantined[(state.quarantined >= 0) & (state.quarantined < len(states))]
        # The buddy would hand out what it has put away.
        free = signs[known] & np.uint8(_FREE | _CACHED) != 0
        states[known] = np.where(free, FrameState.CONFLICT, FrameState.QUARANTINED)
    elif not state.zones:
        states[states == FrameState.QUARANTINED] = FrameState.POISONED
    elif (poisoned := np.flatnonzero(states == FrameState.QUARANTINED)).size:
        _spread_quarantine(states, signs, state, poisoned)


def _spread_quarantine(
    states: States, signs: States, state: MemoryState, poisoned: NDArray[np.int64]
) -> None:
    """The buddy leaves a count of 0 in all frames of a block in quarantine, and poison in at least one."""
    dropped = signs & np.uint8(_FREE | _CACHED | _UNCOUNTED) == _UNCOUNTED
    if len(state.ram):
        dropped &= mask_of_ranges(state.ram, len(states)) & ~mask_of_ranges(state.off_limits, len(states))
    else:
        # No map is known, and slots of what nobody owns have a count of 0, too.
        dropped &= signs & np.uint8(_ALLOCATED) != 0
    edges = np.flatnonzero(dropped[1:] != dropped[:-1]) + 1
    starts = np.concatenate([[0], edges])
    beside = np.zeros(len(starts), dtype=np.bool_)
    beside[np.searchsorted(starts, poisoned, side="right") - 1] = True
    dropped &= np.repeat(beside, np.diff(starts, append=len(states)))
    states[dropped] = FrameState.QUARANTINED


def _mark_what_has_no_owner(states: States, signs: States, state: MemoryState) -> None:
    """Mark holes and memory that is nobody's to give; what a slot there says to be owned is a conflict.

    Without any range of RAM no map is known, and nothing is a hole.
    """

    def mark(rows: slice | NDArray[np.bool_], kind: FrameState) -> None:
        unowned = np.where(signs[rows] & np.uint8(_POISON), FrameState.POISONED, kind)
        states[rows] = np.where(signs[rows] & _CLAIMED, FrameState.CONFLICT, unowned)

    if len(state.ram):
        mark(~mask_of_ranges(state.ram, len(states)), FrameState.HOLE)
    for first, end, kind in _without_owner(state):
        mark(slice(min(max(first, 0), len(states)), min(max(end, 0), len(states))), kind)


def _without_owner(state: MemoryState) -> Iterator[tuple[int, int, FrameState]]:
    yield from ((first, end, FrameState.RESERVED) for first, end in state.off_limits.tolist())
    yield from ((one.first, one.end, OF_KIND[one.kind]) for one in state.map if one.kind in OF_KIND)
