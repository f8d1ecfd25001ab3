"""Invariants of every slot, whatever its frame is used for."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.sweep import NEW_IS_ZERO
from frame_harness.frame_metadata.invariants.words import LINKS, reserved_bytes


def order_in_range(columns: Columns) -> Sighting:
    """Judge W-ORDER-RANGE; looks at each slot of a frame of RAM."""
    top, order = columns.constants.max_order, columns.swept.order
    return frames_finding(
        columns.n_in_ram, columns.swept.large, lambda pfn: ("order", f"at most {top}", str(order[pfn]))
    )


def reserved_bytes_zero(columns: Columns) -> Sighting:
    """Judge W-RESERVED-ZERO; looks at each slot of a frame of RAM."""
    used = columns.swept.used_reserved
    return frames_finding(
        columns.n_in_ram, used[columns.in_ram[used]], lambda pfn: _reserved_byte(columns, pfn)
    )


def _reserved_byte(columns: Columns, pfn: Pfn) -> tuple[str, str, str]:
    row = np.frombuffer(columns.slots[pfn].tobytes(), np.uint8)
    at = int(np.flatnonzero(row * reserved_bytes(columns.slots.dtype))[0])
    return f"reserved byte {at}", "0x0", f"{int(row[at]):#x}"


def holes_untouched(columns: Columns) -> Sighting:
    """Judge W-HOLE-UNTOUCHED; looks at each slot whose frame is no RAM, reserved bytes included."""
    written = np.union1d(columns.swept.touched, columns.swept.used_reserved)
    return frames_finding(
        columns.n_frames - columns.n_in_ram,
        written[~columns.in_ram[written]],
        lambda pfn: _first_change(columns, pfn),
    )


def off_limits_untouched(columns: Columns) -> Sighting:
    """Judge W-OFF-LIMITS-UNTOUCHED; looks at each slot of off-limits RAM, reserved bytes apart."""
    touched = columns.swept.touched
    return frames_finding(
        columns.n_in_ram - columns.n_usable,
        touched[columns.in_ram[touched]],
        lambda pfn: _first_change(columns, pfn),
    )


def _first_change(columns: Columns, pfn: Pfn) -> tuple[str, str, str]:
    new = dict.fromkeys(LINKS, columns.constants.link_none) | dict.fromkeys(NEW_IS_ZERO, 0)
    for field, value in new.items():
        if (found := columns.number(field, pfn)) != value:
            return field, f"{value:#x}", f"{found:#x}"
    if pfn in columns.swept.used_reserved:
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
