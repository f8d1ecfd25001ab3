"""What became of each frame, as its slot, the CPU caches and the memory map say: one value a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE
from frame_harness.frame_metadata.constants import Constants
from frame_harness.frame_metadata.memory_state import MemoryState, mask_of_ranges

Bytes = NDArray[np.uint8]

NO_ORDER: Final = 255
"""Of frames that belong to no block: holes, and what the buddy must never own."""
_CHUNK_SLOTS: Final = 1 << 14  # 1 MiB of slots: what is read once stays in the CPU's cache


class FrameState(IntEnum):
    """What a frame is used for; the numbers are those of the arrays, and stay as they are."""

    HOLE = 0  # a slot without RAM
    RESERVED = 1  # the firmware's, or what nobody may own
    IMAGE = 2  # the kernel's code and data
    ARRAY = 3  # the slot table
    FREE = 4  # on a free list
    CACHED = 5  # free, in a CPU's cache
    LIVE = 6  # somebody's
    QUARANTINED = 7  # poisoned, given back, never handed out again
    POISONED = 8  # poisoned, and not in quarantine
    UNKNOWN = 9  # the slot says neither that it is free nor whose it is, or both


class Purpose(IntEnum):
    """Whom a live frame was handed out for."""

    NONE = 0  # nobody, or a block without a purpose
    KERNEL = 1
    USER = 2
    BOTH = 3  # what no frame should say


class MapRegion(Protocol):
    """One range of a memory map; addresses in bytes, `end` exclusive."""

    @property
    def base(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def kind(self) -> str: ...


_OF_KIND: Final = {"kernel": FrameState.IMAGE, "meta": FrameState.ARRAY}
_RAM: Final = "ram"


@dataclass(frozen=True, eq=False)
class Frames:
    """What became of each frame of a memory.

    Attributes:
        states: shape (n_frames,), each a `FrameState`.
        orders: shape (n_frames,), of the block that a frame belongs to; `NO_ORDER` where there is none.
        purposes: shape (n_frames,), each a `Purpose`; NONE of all that is not live or poisoned.
    """

    states: Bytes
    orders: Bytes
    purposes: Bytes


def frames_of(state: MemoryState, regions: Iterable[MapRegion] = ()) -> Frames:
    """Say of each frame what became of it.

    Args:
        regions: the memory map; without it the kernel's image and the slot table are RESERVED, as all that is
            off limits.
    """
    n = state.n_frames
    found = Frames(*(np.empty(n, dtype=np.uint8) for _ in range(3)))
    forgotten = np.empty(n, dtype=np.bool_)  # with a reference count of 0, and not free
    sick = np.empty(n, dtype=np.bool_)
    for first in range(0, n, _CHUNK_SLOTS):
        _read_slots(state, slice(first, first + _CHUNK_SLOTS), found, forgotten, sick)
    _note_cached(state, found.states)
    in_ram, off_limits = mask_of_ranges(state.ram, n), mask_of_ranges(state.off_limits, n)
    forgotten &= in_ram & ~off_limits
    found.states[_quarantined(state, forgotten, sick)] = FrameState.QUARANTINED
    found.states[~in_ram] = FrameState.HOLE
    found.states[off_limits] = FrameState.RESERVED
    for region in regions:
        if region.kind != _RAM:
            rows = slice(min(region.base >> PAGE_SHIFT, n), min(-(-region.end // PAGE_SIZE), n))
            found.states[rows] = _OF_KIND.get(region.kind, FrameState.RESERVED)
    found.orders[found.states < FrameState.FREE] = NO_ORDER
    found.purposes[(found.states != FrameState.LIVE) & (found.states != FrameState.POISONED)] = Purpose.NONE
    return found


def states(state: MemoryState, regions: Iterable[MapRegion] = ()) -> Bytes:
    """The state of each frame alone, shape (n_frames,); see `frames_of`."""
    return frames_of(state, regions).states


def runs(values: Bytes) -> Iterator[tuple[int, int, int]]:
    """Ranges of equal neighbors as (first, end, value), ascending; they tile the array."""
    if not len(values):
        return iter(())
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    firsts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(values)]])
    return zip(firsts.tolist(), ends.tolist(), values[firsts].tolist(), strict=True)


# ---- slots ------------------------------------------------------------------------------------------------


def _said() -> Bytes:
    """By four bits (FREE, ALLOCATED, counted, poisoned) what a slot says of its frame."""
    table = np.full(16, FrameState.UNKNOWN, dtype=np.uint8)
    for code in range(16):
        free, allocated, counted, poisoned = (bool(code & 1 << bit) for bit in range(4))
        if poisoned:
            table[code] = FrameState.POISONED
        elif free and not allocated:
            table[code] = FrameState.FREE
        elif not free and (allocated or counted):
            table[code] = FrameState.LIVE
    return table


_SAID: Final = _said()


def _read_slots(
    state: MemoryState, rows: slice, found: Frames, forgotten: NDArray[np.bool_], sick: NDArray[np.bool_]
) -> None:
    c, slots = state.constants, state.slots[rows]
    flags, refcount = slots["flags"].astype(np.uint32), slots["refcount"].astype(np.uint32)
    free, none = _has(flags, c.flag_free), refcount == 0
    poisoned = _has(slots["guard"].astype(np.uint32), c.guard_poisoned) | _has(flags, c.flag_poisoned)
    code = free.astype(np.uint8)
    code |= _has(flags, c.flag_allocated).astype(np.uint8) << 1
    code |= (~none & (refcount != np.uint32(c.refcount_unused))).astype(np.uint8) << 2
    code |= poisoned.astype(np.uint8) << 3
    found.states[rows] = _SAID[code]
    found.orders[rows] = slots["order"]
    found.purposes[rows] = _purposes(flags, c)
    forgotten[rows] = none & ~free
    sick[rows] = poisoned


def _purposes(flags: NDArray[np.uint32], c: Constants) -> Bytes:
    kernel, user = (_has(flags, bit).astype(np.uint8) for bit in (c.flag_kernel, c.flag_user))
    return kernel * np.uint8(Purpose.KERNEL) + user * np.uint8(Purpose.USER)


def _has(words: NDArray[np.uint32], bit: int) -> NDArray[np.bool_]:
    has: NDArray[np.bool_] = (words & np.uint32(bit)) != 0
    return has


# ---- what slots alone do not say --------------------------------------------------------------------------


def _note_cached(state: MemoryState, found: Bytes) -> None:
    pfns = state.cached["pfn"]
    pfns = pfns[pfns < state.n_frames].astype(np.int64)
    said = found[pfns]
    found[pfns[said == FrameState.FREE]] = FrameState.CACHED
    found[pfns[said == FrameState.LIVE]] = FrameState.UNKNOWN  # two have it


def _quarantined(
    state: MemoryState, forgotten: NDArray[np.bool_], sick: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The frames in quarantine: as the caller knows, else as the slots show.

    The buddy leaves a count of 0 in all frames of such a block, and poison in at least one of them. A frame
    that its last owner has just dropped, right beside one, cannot be told from it.
    """
    if state.quarantined is not None:
        pfns = state.quarantined
        return pfns[(pfns >= 0) & (pfns < state.n_frames)]
    pfns = np.flatnonzero(forgotten)
    if not pfns.size:
        return pfns
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(pfns) != 1) + 1])
    lengths = np.diff(np.concatenate([firsts, [len(pfns)]]))
    found: NDArray[np.int64] = pfns[np.repeat(np.logical_or.reduceat(sick[pfns], firsts), lengths)]
    return found
