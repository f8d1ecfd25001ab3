"""Invariants of every slot, whatever its frame is used for."""

from __future__ import annotations

import numpy as np

from frame_harness.contract.invariant import Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns, ranges_of, reserved_bytes
from frame_harness.frame_metadata.memory_state import PfnRanges


def order_in_range(columns: Columns) -> Sighting:
    top = columns.constants.max_order
    bad = np.flatnonzero((columns.order > top) & columns.in_ram)
    return frames_finding(
        int(np.count_nonzero(columns.in_ram)),
        bad,
        lambda pfn: ("order", f"at most {top}", str(columns.order[pfn])),
    )


def reserved_bytes_zero(columns: Columns) -> Sighting:
    bad = np.flatnonzero(columns.has_reserved & columns.in_ram)
    return frames_finding(
        int(np.count_nonzero(columns.in_ram)), bad, lambda pfn: _reserved_byte(columns, pfn)
    )


def _reserved_byte(columns: Columns, pfn: int) -> tuple[str, str, str]:
    slots = columns.state.slots
    row = np.frombuffer(slots[pfn].tobytes(), np.uint8)
    at = int(np.flatnonzero(row * reserved_bytes(slots.dtype))[0])
    return f"reserved byte {at}", "0x0", f"{int(row[at]):#x}"


def holes_untouched(columns: Columns) -> Sighting:
    return _as_new(columns, columns.holes)


def off_limits_untouched(columns: Columns) -> Sighting:
    return _as_new(columns, ranges_of(columns.off_limits & columns.in_ram))


def _as_new(columns: Columns, ranges: PfnRanges) -> Sighting:
    finding = Sighting(0)
    for first, end in ranges.tolist():
        rows = slice(first, end)
        meta_aux = columns.state.slots["meta_aux"][rows]
        numbers = (columns.flags, columns.refcount, columns.generation, columns.guard, columns.order)
        touched = columns.has_link[rows] | columns.has_vtable[rows] | (meta_aux != 0)
        touched |= columns.has_reserved[rows] & ~columns.in_ram[rows]
        for column in numbers:
            touched |= column[rows] != 0
        bad = np.flatnonzero(touched) + first
        finding += frames_finding(end - first, bad, lambda pfn: _first_change(columns, pfn))
    return finding


def _first_change(columns: Columns, pfn: int) -> tuple[str, str, str]:
    slot = columns.state.slots[pfn]
    new = dict.fromkeys(("next", "prev"), columns.constants.link_none)
    new |= dict.fromkeys(("vtable", "flags", "order", "refcount", "generation", "guard", "meta_aux"), 0)
    for field, value in new.items():
        if int(slot[field]) != value:
            return field, f"{value:#x}", f"{int(slot[field]):#x}"
    if columns.has_reserved[pfn]:
        return _reserved_byte(columns, pfn)
    return "slot", "as new", "a change that is gone by now"


INVARIANTS = (
    Invariant(
        "W-ORDER-RANGE",
        ("FREE-04",),
        holds="for every slot of a frame of RAM: s.order <= MAX_ORDER",
        blind_to="a wrong order in range; blocks and lists judge those",
        evaluate=order_in_range,
    ),
    Invariant(
        "W-RESERVED-ZERO",
        ("LAYOUT-07", "LAYOUT-08", "ALLOC-09"),
        holds="for every slot of a frame of RAM: all reserved bytes are zero",
        blind_to="a reserved byte that is written with zero",
        evaluate=reserved_bytes_zero,
    ),
    Invariant(
        "W-HOLE-UNTOUCHED",
        ("ARRAY-03", "ARRAY-10", "ARRAY-11"),
        holds="for every slot whose frame is no RAM: all bytes are as in a new slot",
        blind_to="fields that were written and then put back",
        evaluate=holes_untouched,
    ),
    Invariant(
        "W-OFF-LIMITS-UNTOUCHED",
        ("ARRAY-03", "ARRAY-11"),
        holds="for every slot of an off-limits RAM frame: all fields are as in a new slot",
        blind_to="fields that were written and then put back; a kernel may have its reasons to write there",
        evaluate=off_limits_untouched,
    ),
)
