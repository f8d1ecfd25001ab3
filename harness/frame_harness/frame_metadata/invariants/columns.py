"""The columns of a slot table, gathered once for all invariants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.invariants.lists import FreeLists
from frame_harness.frame_metadata.memory_state import (
    SLOT_FIELDS,
    MemoryState,
    PfnRanges,
    Zone,
    mask_of_ranges,
    movable_mask,
)

Mask = NDArray[np.bool_]

# 1 MiB of slots: what is read from RAM once stays in the CPU's cache while its fields are picked apart.
CHUNK_SLOTS = 1 << 14


@dataclass(frozen=True, eq=False)
class Past:
    """What a later state is compared with.

    Args:
        generation: shape (n_frames,).
        poisoned: shape (n_frames,); poisoned frames that nobody held, so nobody could rightly heal them.
    """

    generation: NDArray[np.uint32]
    poisoned: Mask


class Columns:
    """What several invariants need of one state, each computed at most once.

    All arrays have shape (n_frames,) unless they say otherwise. Nothing here trusts the guest: every address,
    order and counter may hold anything.
    """

    def __init__(self, state: MemoryState, previous: MemoryState | Past | None = None) -> None:
        self.state = state
        self.constants = state.constants
        self.n_frames = state.n_frames
        self.previous = Columns(previous).past if isinstance(previous, MemoryState) else previous
        self.flags = np.empty(self.n_frames, dtype=np.uint32)
        self.refcount = np.empty(self.n_frames, dtype=np.uint32)
        self.generation = np.empty(self.n_frames, dtype=np.uint32)
        self.guard = np.empty(self.n_frames, dtype=np.uint32)
        self.order = np.empty(self.n_frames, dtype=np.uint8)
        self.has_vtable = np.empty(self.n_frames, dtype=np.bool_)
        self.has_link = np.empty(self.n_frames, dtype=np.bool_)
        self.has_reserved = np.zeros(self.n_frames, dtype=np.bool_)
        self._words, self._reserved_words = _reserved_words(state.slots)
        for first in range(0, self.n_frames, CHUNK_SLOTS):
            self._gather(slice(first, first + CHUNK_SLOTS))

    def _gather(self, rows: slice) -> None:
        slots = self.state.slots[rows]
        none = np.uint64(self.constants.link_none)
        self.flags[rows] = slots["flags"]
        self.refcount[rows] = slots["refcount"]
        self.generation[rows] = slots["generation"]
        self.guard[rows] = slots["guard"]
        self.order[rows] = slots["order"]
        np.not_equal(slots["vtable"], 0, out=self.has_vtable[rows])
        np.bitwise_or(slots["next"] != none, slots["prev"] != none, out=self.has_link[rows])
        for index, mask in self._reserved_words:
            word = self._words[rows, index] & mask
            if word.any():
                self.has_reserved[rows] |= word != 0

    @staticmethod
    def _has(column: NDArray[np.uint32], bit: int) -> Mask:
        has: Mask = (column & np.uint32(bit)) != 0
        return has

    # ---- whose a frame is -------------------------------------------------------------------------------

    @cached_property
    def in_ram(self) -> Mask:
        return mask_of_ranges(self.state.ram, self.n_frames)

    @cached_property
    def off_limits(self) -> Mask:
        return mask_of_ranges(self.state.off_limits, self.n_frames)

    @cached_property
    def usable(self) -> Mask:
        """RAM that the buddy may own."""
        usable: Mask = self.in_ram & ~self.off_limits
        return usable

    @cached_property
    def free(self) -> Mask:
        """What the slot's FREE flag says, on a list or in a cache."""
        return self._has(self.flags, self.constants.flag_free)

    @cached_property
    def allocated(self) -> Mask:
        return self._has(self.flags, self.constants.flag_allocated)

    @cached_property
    def guard_poisoned(self) -> Mask:
        return self._has(self.guard, self.constants.guard_poisoned)

    @cached_property
    def given_away(self) -> Mask:
        """Usable frames that are not free: a holder's or in quarantine."""
        return self.usable & ~self.free

    @cached_property
    def held_for_purpose(self) -> Mask:
        """Frames that the frame module handed out for the kernel or a process."""
        purpose = self.constants.flag_kernel | self.constants.flag_user
        return self.in_ram & self.allocated & ~self.free & self._has(self.flags, purpose)

    @cached_property
    def cached_pfns(self) -> NDArray[np.int64]:
        """Pfns in CPU caches that are in the table, shape (k,), in cache order, duplicates included."""
        pfns = self.state.cached["pfn"]
        return pfns[pfns < self.n_frames].astype(np.int64)

    @cached_property
    def cached(self) -> Mask:
        mask = np.zeros(self.n_frames, dtype=np.bool_)
        mask[self.cached_pfns] = True
        return mask

    @cached_property
    def listed_free(self) -> Mask:
        """Frames whose slot says that a free list holds their block."""
        return self.free & ~self.cached

    @cached_property
    def free_in_ram(self) -> Mask:
        """Free frames that exist: what a slot of a hole holds is for one invariant to judge."""
        return self.free & self.in_ram

    @cached_property
    def free_pfns(self) -> NDArray[np.intp]:
        """Of frames of RAM, shape (k,), ascending."""
        return np.flatnonzero(self.free_in_ram)

    @cached_property
    def movable(self) -> Mask:
        return movable_mask(self.state.zones, self.n_frames)

    @cached_property
    def poisoned_while_free(self) -> Mask:
        mask = np.zeros(self.n_frames, dtype=np.bool_)
        mask[self.in_table(self.state.poisoned_while_free)] = True
        return mask

    def in_table(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those pfns that have a slot."""
        return pfns[(pfns >= 0) & (pfns < self.n_frames)]

    @cached_property
    def holes(self) -> PfnRanges:
        """The ranges of the table that are no RAM."""
        return ranges_of(~self.in_ram)

    @cached_property
    def past(self) -> Past:
        """What to hand over when the next state is judged."""
        if self.state.quarantined is None:
            held = (self.refcount != 0) & (self.refcount != np.uint32(self.constants.refcount_unused))
            return Past(self.generation, self.guard_poisoned & ~held)
        nobodys = self.free.copy()
        nobodys[self.in_table(self.state.quarantined)] = True
        return Past(self.generation, self.guard_poisoned & nobodys)

    @cached_property
    def alignment(self) -> NDArray[np.uint8]:
        """The largest order of which a block may start at each frame."""
        alignment = np.zeros(self.n_frames, dtype=np.uint8)
        for order in range(1, self.constants.max_order + 1):
            alignment[:: 1 << order] = order
        return alignment

    @cached_property
    def starts(self) -> Mask:
        """Listed free frames of RAM at a multiple of their own order's block size."""
        return self.listed_free & self.in_ram & (self.order <= self.alignment)

    # ---- zones ------------------------------------------------------------------------------------------

    def rows_of(self, zone: Zone) -> slice:
        """The part of the table that a zone spans; empty for a zone beyond it."""
        return slice(min(max(zone.first_pfn, 0), self.n_frames), min(max(zone.end_pfn, 0), self.n_frames))

    @cached_property
    def zone_of(self) -> NDArray[np.int8]:
        """Index into `state.zones`, -1 for frames in none; of overlapping zones the last."""
        zone_of = np.full(self.n_frames, -1, dtype=np.int8)
        for index, zone in enumerate(self.state.zones):
            zone_of[self.rows_of(zone)] = index
        return zone_of

    # ---- free lists -------------------------------------------------------------------------------------

    @cached_property
    def lists(self) -> FreeLists:
        return FreeLists(self)


def ranges_of(mask: Mask) -> PfnRanges:
    """The runs of frames that a mask has, half-open."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def reserved_bytes(dtype: np.dtype[np.void]) -> NDArray[np.bool_]:
    """Which bytes of a slot no field of the contract uses: reserved ones, by whatever name, and padding."""
    reserved = np.ones(dtype.itemsize, dtype=np.bool_)
    for name, (kind, offset, *_) in (dtype.fields or {}).items():
        if name in SLOT_FIELDS:
            reserved[offset : offset + kind.itemsize] = False
    return reserved


def _reserved_words(slots: NDArray[np.void]) -> tuple[NDArray[Any], list[tuple[int, Any]]]:
    """The slots as rows of machine words, with (index, mask) of the words with reserved bytes."""
    word = np.dtype("<u8") if slots.dtype.itemsize % 8 == 0 else np.dtype("u1")
    masks = np.where(reserved_bytes(slots.dtype), 0xFF, 0).astype(np.uint8).view(word)
    rows = np.ascontiguousarray(slots).view(word).reshape(len(slots), len(masks))
    return rows, [(index, mask) for index, mask in enumerate(masks) if mask]
