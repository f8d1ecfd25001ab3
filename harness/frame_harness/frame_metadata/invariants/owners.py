"""Invariants of whose a frame is: the buddy's, a holder's, quarantined, or nobody's to give."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns


def one_owner(columns: Columns) -> Sighting:
    """Judge W-ONE-OWNER; looks at each frame that the buddy may own."""
    unclear = columns.swept.unclear
    poisoned = columns.slots["guard"][unclear] & np.uint32(columns.constants.guard_poisoned) != 0
    return frames_finding(
        columns.n_usable,
        unclear[columns.swept.free[unclear] | ~poisoned],
        lambda pfn: (
            "flags",
            "either FREE or ALLOCATED, or neither if poisoned",
            f"{columns.number('flags', pfn):#x}",
        ),
    )


def off_limits(columns: Columns) -> Sighting:
    """Judge W-OFF-LIMITS; looks at each frame that the buddy may not own, holes included."""
    cached = columns.cached_pfns
    return frames_finding(
        columns.n_frames - columns.n_usable,
        np.union1d(columns.swept.taken, cached[~columns.usable[cached]]),
        lambda pfn: (
            "flags",
            "neither FREE nor ALLOCATED, in no cache",
            f"{columns.number('flags', pfn):#x}",
        ),
    )


def holder_counted(columns: Columns) -> Sighting:
    """Judge W-HELD-COUNT; looks at each allocated frame of RAM with the flag KERNEL or USER."""
    odd = columns.swept.odd_held
    return frames_finding(
        columns.swept.n_held,
        odd[columns.slots["refcount"][odd] == columns.constants.refcount_unused],
        lambda pfn: ("refcount", "a count of holders", f"{columns.number('refcount', pfn):#x}"),
    )


def holder_single(columns: Columns) -> Sighting:
    """Judge W-HELD-ORDER; looks at each allocated frame of RAM with the flag KERNEL or USER."""
    odd, order = columns.swept.odd_held, columns.swept.order
    return frames_finding(
        columns.swept.n_held, odd[order[odd] != 0], lambda pfn: ("order", "0", str(order[pfn]))
    )


def cache_entries(columns: Columns) -> Sighting:
    """Judge W-CACHE-ENTRY; looks at each entry beyond the table, then at each cached frame once."""
    entries = columns.state.cached["pfn"]
    outside = entries[entries >= columns.n_frames]
    finding = Sighting(
        len(outside),
        len(outside),
        tuple(
            (Pfn(int(pfn)), "cache entry", f"a frame below {columns.n_frames:#x}", f"{int(pfn):#x}")
            for pfn in outside[:MAX_COUNTEREXAMPLES]
        ),
    )
    pfns, times = np.unique(columns.cached_pfns, return_counts=True)
    linked = columns.has_link(pfns)
    wrong = (times != 1) | ~columns.swept.free[pfns] | (columns.swept.order[pfns] != 0) | linked

    def describe(pfn: Pfn) -> tuple[str, str, str]:
        at = int(np.searchsorted(pfns, pfn))
        flags, order = columns.number("flags", pfn), columns.swept.order[pfn]
        links = "links" if linked[at] else "no links"
        got = f"{times[at]} times, flags {flags:#x} order {order} {links}"
        return "cache entry", "once, FREE, order 0, no links", got

    return finding + frames_finding(len(pfns), pfns[wrong], describe)


def quarantine(columns: Columns) -> Sighting:
    """Judge W-QUARANTINE; looks at frames that the state names as quarantined, if it names any."""
    known = columns.state.quarantined
    if known is None:
        return Sighting(0)
    pfns = np.unique(columns.in_table(known))
    wrong = columns.swept.free[pfns] | columns.cached[pfns] | columns.has_link(pfns)
    wrong |= columns.slots["refcount"][pfns] != 0
    return frames_finding(
        len(pfns),
        pfns[wrong],
        lambda pfn: (
            "flags",
            "out of circulation: not FREE, in no cache, refcount 0, no links",
            f"flags {columns.number('flags', pfn):#x} refcount {columns.number('refcount', pfn):#x}",
        ),
    )


INVARIANTS = (
    Invariant(
        "W-ONE-OWNER",
        ("ALLOC-14", "FREE-02", "FREE-06"),
        holds="every usable RAM frame: either FREE or ALLOCATED, or neither and guard POISONED",
        blind_to="two holders of one allocated frame; the claim (ALLOC-10) guards against those",
        evaluate=one_owner,
    ),
    Invariant(
        "W-OFF-LIMITS",
        ("ARRAY-11", "ALLOC-14"),
        holds="no frame outside RAM or in an off-limits range is FREE, ALLOCATED or in a cache",
        blind_to="a range that the caller does not name, a frame handed out and given back since",
        evaluate=off_limits,
    ),
    Invariant(
        "W-HELD-COUNT",
        ("REF-01", "REF-07"),
        holds="s.flags has ALLOCATED with KERNEL or USER => s.refcount != REFCOUNT_UNUSED",
        blind_to="a wrong count that is no sentinel; blocks taken from the buddy without a purpose",
        evaluate=holder_counted,
    ),
    Invariant(
        "W-HELD-ORDER",
        ("ALLOC-09",),
        holds="s.flags has ALLOCATED with KERNEL or USER => s.order == 0",
        blind_to="frames with custom flags, blocks taken from the buddy without a purpose",
        evaluate=holder_single,
    ),
    Invariant(
        "W-CACHE-ENTRY",
        ("ALLOC-13", "FREE-03"),
        holds="every CPU cache entry: in the table, entered once in all, FREE, order 0, no links",
        blind_to="a frame that is in a cache of another CPU than it should be",
        evaluate=cache_entries,
    ),
    Invariant(
        "W-QUARANTINE",
        ("GUARD-07",),
        holds="every frame known to be quarantined: not FREE, in no cache, refcount 0, no links",
        blind_to="quarantined frames that the caller does not name; their poison, judged over time",
        evaluate=quarantine,
    ),
)
