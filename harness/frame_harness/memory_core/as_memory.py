"""A memory core's state in the terms of a frame module's, for what shows either."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import frames_touched, pfn_to_paddr
from frame_harness.frame_guest.memory_view import with_all_fields
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import (
    N_MIGRATETYPES,
    MemoryState,
    PfnRanges,
    Zone,
    cached_frames,
    pfn_ranges,
)
from frame_harness.memory_core.maps import MemoryMap, Span, merged, rounded_out
from frame_harness.memory_core.state import ZONES, CoreState, Segment, spans_of


def as_memory(state: CoreState, slots: NDArray[Any], memory: MemoryMap) -> MemoryState:
    """The same moment, with a zone for each segment, whose counters are counted in lists and caches.

    Args:
        memory: the map that the core was started on.
    Raises:
        MemoryStateError: a slot of this version has too few fields.
    """
    constants = replace(C, max_order=state.max_order)
    return MemoryState(
        slots=with_all_fields(slots),
        zones=tuple(_zone(state, place, one) for place, one in enumerate(state.segments)),
        cached=cached_frames([entry for entry in state.cached if entry[0] < len(slots)]),
        ram=_ranges(memory.usable),
        off_limits=_ranges(merged(rounded_out([*memory.forbidden, *spans_of(state.structures)]))),
        constants=constants,
    )


def _zone(state: CoreState, place: int, segment: Segment) -> Zone:
    blocks = [block for block in state.blocks if block.segment == place]
    heads = np.full((N_MIGRATETYPES, state.max_order + 1), C.link_none, np.uint64)
    for block in reversed(blocks):  # the first of a list is its head
        heads[block.kind, block.order] = pfn_to_paddr(block.pfn)
    managed = segment.end - segment.first
    free = sum(block.end - block.pfn for block in blocks)
    cached = sum(segment.first <= pfn < segment.end for pfn, _, _ in state.cached)
    return Zone(
        name=ZONES[segment.zone], first_pfn=segment.first, end_pfn=segment.end, heads=heads, managed=managed,
        free=free, cached=cached, allocated=managed - free - cached, quarantined=0, reserved=0,
    )  # fmt: skip


def _ranges(spans: Iterable[Span]) -> PfnRanges:
    """The frames that some spans of addresses touch."""
    return pfn_ranges([frames_touched(first, end) for first, end in spans])
