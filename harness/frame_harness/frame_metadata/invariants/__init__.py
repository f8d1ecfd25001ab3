"""Whole-memory invariants: named, vectorized checks of every slot, list, cache, counter of one state."""

from __future__ import annotations

from frame_harness.contract.invariant import Invariants
from frame_harness.frame_metadata.invariants import (
    accounting,
    blocks,
    free_frames,
    history,
    links,
    owners,
    slots,
)  # fmt: skip
from frame_harness.frame_metadata.invariants.columns import Columns, Past
from frame_harness.frame_metadata.memory_state import MemoryState

INVARIANTS: Invariants[MemoryState, Columns, Past] = Invariants(
    Columns,
    tuple(
        invariant
        for group in (slots, free_frames, owners, blocks, links, accounting, history)
        for invariant in group.INVARIANTS
    ),
)
