"""What is known of each frame apart from its slot: the memory map, zones, CPU caches."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.memory_state import MemoryState, Zone, mask_of_ranges, movable_mask

Mask = NDArray[np.bool_]
Pfns = NDArray[np.intp]
"""Shape (k,): numbers of frames."""


class Frames:
    """All arrays have shape (n_frames,) unless they say otherwise, and are computed at most once."""

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.constants = state.constants
        self.n_frames = state.n_frames

    @cached_property
    def in_ram(self) -> Mask:
        """Which frames are RAM by the ranges of the state; all others are holes."""
        return mask_of_ranges(self.state.ram, self.n_frames)

    @cached_property
    def usable(self) -> Mask:
        """RAM that the buddy may own."""
        usable = self.in_ram.copy()
        for first, end in self.state.off_limits.tolist():
            usable[self._rows(first, end)] = False
        return usable

    @cached_property
    def n_in_ram(self) -> int:
        """The number of frames that are RAM."""
        return int(np.count_nonzero(self.in_ram))

    @cached_property
    def n_usable(self) -> int:
        """The number of frames that the buddy may own."""
        return int(np.count_nonzero(self.usable))

    @cached_property
    def movable(self) -> Mask:
        """Which frames lie in a movable 8 MiB block, RAM or not."""
        return movable_mask(self.state.zones, self.n_frames)

    @cached_property
    def cached_pfns(self) -> NDArray[np.int64]:
        """Pfns in CPU caches that are in the table, shape (k,), in cache order, duplicates included."""
        pfns = self.state.cached["pfn"]
        return pfns[pfns < self.n_frames].astype(np.int64)

    @cached_property
    def cached(self) -> Mask:
        """Which frames are in a CPU cache, whatever their slots say."""
        mask = np.zeros(self.n_frames, dtype=np.bool_)
        mask[self.cached_pfns] = True
        return mask

    def rows_of(self, zone: Zone) -> slice:
        """The part of the table that a zone spans; empty for a zone beyond it."""
        return self._rows(zone.first_pfn, zone.end_pfn)

    def _rows(self, first: int, end: int) -> slice:
        return slice(min(max(first, 0), self.n_frames), min(max(end, 0), self.n_frames))

    @cached_property
    def zone_of(self) -> NDArray[np.int8]:
        """Index into `state.zones`, -1 for frames in none; of overlapping zones the last."""
        zone_of = np.full(self.n_frames, -1, dtype=np.int8)
        for index, zone in enumerate(self.state.zones):
            zone_of[self.rows_of(zone)] = index
        return zone_of

    def in_table(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those pfns, shape (k,), that have a slot."""
        return pfns[(pfns >= 0) & (pfns < self.n_frames)]
