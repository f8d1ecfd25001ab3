"""Invariants of the slots of free frames, listed or cached."""

from __future__ import annotations

import numpy as np

from frame_harness.contract.invariant import Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.frames import Mask, Pfns


def _judge(columns: Columns, bad: Pfns, field: str, expected: str) -> Sighting:
    return frames_finding(
        columns.swept.n_free, bad, lambda pfn: (field, expected, f"{columns.number(field, pfn):#x}")
    )


def refcount_unused(columns: Columns) -> Sighting:
    """Judge W-FREE-REFCOUNT; looks at each free frame of RAM."""
    unused, odd = columns.constants.refcount_unused, columns.swept.odd_free
    return _judge(columns, odd[columns.slots["refcount"][odd] != unused], "refcount", f"{unused:#x}")


def vtable_default(columns: Columns) -> Sighting:
    """Judge W-FREE-VTABLE; looks at each free frame of RAM."""
    odd = columns.swept.odd_free
    return _judge(columns, odd[columns.slots["vtable"][odd] != 0], "vtable", "0x0")


def guard_clear(columns: Columns) -> Sighting:
    """Judge W-FREE-GUARD; looks at each free frame of RAM."""
    odd = columns.swept.odd_free
    guard = columns.slots["guard"][odd]
    bad = (guard != 0) & ~((guard == columns.constants.guard_poisoned) & _may_be_poisoned(columns, odd))
    return _judge(columns, odd[bad], "guard", "0x0")


def flags_of_nobody(columns: Columns) -> Sighting:
    """Judge W-FREE-FLAGS; looks at each free frame of RAM."""
    constants, odd = columns.constants, columns.swept.odd_free
    expected = columns.movable[odd] * np.uint32(constants.flag_movable) | np.uint32(constants.flag_free)
    # ALLOCATED beside FREE is a question of ownership, and judged there. The other bits are ours to judge.
    judged = np.uint32(~constants.flag_allocated & 0xFFFF_FFFF)
    wrong = (columns.slots["flags"][odd] ^ expected) & judged
    bad = (wrong != 0) & ~((wrong == constants.flag_poisoned) & _may_be_poisoned(columns, odd))
    return _judge(columns, odd[bad], "flags", "FREE, with MOVABLE exactly in a movable 8 MiB block")


def _may_be_poisoned(columns: Columns, pfns: Pfns) -> Mask:
    """Which free frames the caller itself poisoned."""
    return np.isin(pfns, columns.state.poisoned_while_free)


INVARIANTS = (
    Invariant(
        "W-FREE-REFCOUNT",
        ("FREE-02", "REF-01"),
        holds="for every frame of RAM: s.flags has FREE => s.refcount == REFCOUNT_UNUSED",
        blind_to="a frame that is on a list although its slot lost FREE; lists judge those",
        evaluate=refcount_unused,
    ),
    Invariant(
        "W-FREE-VTABLE",
        ("FREE-02", "GUARD-04"),
        holds="for every frame of RAM: s.flags has FREE => s.vtable == 0",
        blind_to="a vtable that was kept and cleared since",
        evaluate=vtable_default,
    ),
    Invariant(
        "W-FREE-GUARD",
        ("FREE-02", "GUARD-04", "GUARD-07"),
        holds="for every frame of RAM: s.flags has FREE => s.guard == 0, or POISONED alone where the "
        "caller poisoned a free frame",
        blind_to="a poisoned frame that was healed before it came back",
        evaluate=guard_clear,
    ),
    Invariant(
        "W-FREE-FLAGS",
        ("FREE-02", "ALLOC-02"),
        holds="for every frame of RAM: s.flags has FREE => s.flags == FREE | (MOVABLE in a movable 8 MiB "
        "block), ALLOCATED apart",
        blind_to="FREE that is missing; owners judge that",
        evaluate=flags_of_nobody,
    ),
)
