"""Whole-memory invariants: named, vectorized checks of every slot, list, cache, counter of one state."""

from __future__ import annotations

from frame_harness.frame_metadata.invariants import (
    accounting,
    blocks,
    free_frames,
    history,
    links,
    owners,
    slots,
)
from frame_harness.frame_metadata.invariants.base import (
    Invariant,
    InvariantResult,
    InvariantStatus,
    Report,
    Violation,
)
from frame_harness.frame_metadata.invariants.columns import Columns, Past
from frame_harness.frame_metadata.memory_state import MemoryState

__all__ = [
    "INVARIANTS",
    "Invariant",
    "InvariantResult",
    "InvariantStatus",
    "MemoryState",
    "Past",
    "Report",
    "Violation",
    "check_all",
]

INVARIANTS: dict[str, Invariant] = {
    invariant.id: invariant
    for group in (slots, free_frames, owners, blocks, links, accounting, history)
    for invariant in group.INVARIANTS
}
"""By id, in the order of reports."""


def check_all(state: MemoryState, previous: MemoryState | Past | None = None) -> Report:
    """Judge every invariant; each column is read once, each list walked once.

    Args:
        previous: an earlier state of the same guest, or `Report.past` of its report, which is cheaper.
    """
    columns = Columns(state, previous)
    results = {name: invariant.judge(columns) for name, invariant in INVARIANTS.items()}
    return Report(results, columns.past)
