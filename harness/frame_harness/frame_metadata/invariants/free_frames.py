"""Invariants of the slots of free frames, listed or cached."""

from __future__ import annotations

import numpy as np

from frame_harness.contract.invariant import Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns, Mask


def _judge(columns: Columns, bad: Mask, field: str, expected: str) -> Sighting:
    bad &= columns.free_in_ram
    return frames_finding(
        len(columns.free_pfns),
        np.flatnonzero(bad),
        lambda pfn: (field, expected, f"{int(columns.state.slots[field][pfn]):#x}"),
    )


def refcount_unused(columns: Columns) -> Sighting:
    unused = columns.constants.refcount_unused
    return _judge(columns, columns.refcount != np.uint32(unused), "refcount", f"{unused:#x}")


def vtable_default(columns: Columns) -> Sighting:
    return _judge(columns, columns.has_vtable.copy(), "vtable", "0x0")


def guard_clear(columns: Columns) -> Sighting:
    bad = columns.guard != 0
    if len(columns.state.poisoned_while_free):
        bad &= (columns.guard != columns.constants.guard_poisoned) | ~columns.poisoned_while_free
    return _judge(columns, bad, "guard", "0x0")


def flags_of_nobody(columns: Columns) -> Sighting:
    constants = columns.constants
    # ALLOCATED beside FREE is a question of ownership, and judged there.
    judged = np.uint32(~constants.flag_allocated & 0xFFFF_FFFF)
    expected = columns.movable * np.uint32(constants.flag_movable)
    expected |= np.uint32(constants.flag_free)
    wrong = expected
    wrong ^= columns.flags
    wrong &= judged
    bad = wrong != 0
    if len(columns.state.poisoned_while_free):
        bad &= (wrong != np.uint32(constants.flag_poisoned)) | ~columns.poisoned_while_free
    return _judge(columns, bad, "flags", "FREE, with MOVABLE exactly in a movable 8 MiB block")


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
