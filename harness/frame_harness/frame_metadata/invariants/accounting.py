"""Invariants of the zones' counters against slots, against each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.frames import Mask
from frame_harness.frame_metadata.memory_state import Zone

Example = tuple[Pfn | None, str, str, str]


def _finding(evaluated: int, bad: list[Example]) -> Sighting:
    return Sighting(evaluated, len(bad), tuple(bad[:MAX_COUNTEREXAMPLES]))


def sums_agree(columns: Columns) -> Sighting:
    """Judge W-ACCOUNT-SUM; looks at one sum in each zone."""
    bad: list[Example] = []
    for zone in columns.state.zones:
        parts = zone.free + zone.cached + zone.allocated + zone.quarantined + zone.reserved
        if parts != zone.managed:
            words = "free + cached + allocated + quarantined + reserved"
            bad.append((None, f"zone {zone.name} {words}", f"managed {zone.managed}", str(parts)))
    return _finding(len(columns.state.zones), bad)


def counters_recounted(columns: Columns) -> Sighting:
    """Judge W-ACCOUNT-RECOUNT; looks at five counters in each zone, six where the quarantine is named."""
    bad: list[Example] = []
    evaluated = 0
    for zone in columns.state.zones:
        counts = _recount(columns, zone)
        evaluated += len(counts)
        for name, (counted, published) in counts.items():
            if counted != published:
                bad.append((None, f"zone {zone.name} {name}", f"{counted} by the slots", str(published)))
    return _finding(evaluated, bad)


def _recount(columns: Columns, zone: Zone) -> dict[str, tuple[int, int]]:
    """Each counter by the slots, with what the zone says; a slot does not tell held from quarantined."""
    rows = columns.rows_of(zone)

    def count(mask: Mask, limits: Mask, n_limits: int) -> int:
        whole = n_limits == rows.stop - rows.start
        return int(np.count_nonzero(mask[rows] if whole else mask[rows] & limits[rows]))

    def count_of(pfns: NDArray[np.int64]) -> int:
        return int(np.count_nonzero((pfns >= rows.start) & (pfns < rows.stop)))

    swept = columns.swept
    n_in_ram, n_usable = (int(np.count_nonzero(mask[rows])) for mask in (columns.in_ram, columns.usable))
    n_free = count(swept.free, columns.usable, n_usable)
    counts = {
        "managed": (n_in_ram, zone.managed),
        "free": (count(swept.listed_free, columns.in_ram, n_in_ram), zone.free),
        "cached": (count_of(columns.cached_pfns), zone.cached),
        "reserved": (n_in_ram - n_usable, zone.reserved),
        "allocated + quarantined": (n_usable - n_free, zone.allocated + zone.quarantined),
    }
    if columns.state.quarantined is not None:
        known = count_of(np.unique(columns.state.quarantined))
        counts["quarantined"] = (known, zone.quarantined)
    return counts


def zones_tile(columns: Columns) -> Sighting:
    """Judge W-ZONE-TILES; looks at the bounds of each zone, then at each frame of RAM."""
    bad: list[Example] = []
    zones = columns.state.zones
    for zone in zones:
        if not 0 <= zone.first_pfn <= zone.end_pfn:
            bounds = f"[{zone.first_pfn:#x}, {zone.end_pfn:#x})"
            bad.append((None, f"zone {zone.name} bounds", "first_pfn <= end_pfn", bounds))
    for low, high in pairwise(zones):
        if high.first_pfn < low.end_pfn:
            names = f"zone {high.name} first_pfn"
            bad.append(
                (None, names, f"from {low.end_pfn:#x} on, where {low.name} ends", f"{high.first_pfn:#x}")
            )
    homeless_mask = columns.in_ram.copy()
    for zone in zones:
        homeless_mask[columns.rows_of(zone)] = False
    homeless = np.flatnonzero(homeless_mask)
    finding = _finding(len(zones), bad)
    examples = tuple(
        (Pfn(int(pfn)), "zone", "a zone, as it is RAM", "none") for pfn in homeless[:MAX_COUNTEREXAMPLES]
    )
    return finding + Sighting(columns.n_in_ram, len(homeless), examples)


INVARIANTS = (
    Invariant(
        "W-ACCOUNT-SUM",
        ("FREE-06",),
        holds="for every zone: free + cached + allocated + quarantined + reserved == managed",
        blind_to="two counters that are wrong by the same amount; the recount judges those",
        evaluate=sums_agree,
    ),
    Invariant(
        "W-ACCOUNT-RECOUNT",
        ("FREE-06", "GUARD-07", "ALLOC-14"),
        holds="per zone: managed, free, cached, reserved and allocated + quarantined are what memory map, "
        "slots and caches add up to; quarantined alone where the caller knows it",
        blind_to="held frames counted as quarantined or the reverse, where the caller does not know which",
        evaluate=counters_recounted,
    ),
    Invariant(
        "W-ZONE-TILES",
        ("FREE-04", "FREE-06"),
        holds="zones are ascending and disjoint; every RAM frame is in one",
        blind_to="a boundary between two zones that moved",
        evaluate=zones_tile,
    ),
)
