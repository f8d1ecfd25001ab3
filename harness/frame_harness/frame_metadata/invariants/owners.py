"""Invariants of whose a frame is: the buddy's, a holder's, quarantined, or nobody's to give."""

from __future__ import annotations

import numpy as np

from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns


def one_owner(columns: Columns) -> Sighting:
    nobodys = columns.usable & (columns.free == columns.allocated)
    nobodys &= columns.free | ~columns.guard_poisoned
    return frames_finding(
        int(np.count_nonzero(columns.usable)),
        np.flatnonzero(nobodys),
        lambda pfn: (
            "flags",
            "either FREE or ALLOCATED, or neither if poisoned",
            f"{int(columns.flags[pfn]):#x}",
        ),
    )


def off_limits(columns: Columns) -> Sighting:
    domain = columns.off_limits | ~columns.in_ram
    bad = np.flatnonzero(domain & (columns.free | columns.allocated | columns.cached))
    return frames_finding(
        int(np.count_nonzero(domain)),
        bad,
        lambda pfn: ("flags", "neither FREE nor ALLOCATED, in no cache", f"{int(columns.flags[pfn]):#x}"),
    )


def holder_counted(columns: Columns) -> Sighting:
    unused = np.uint32(columns.constants.refcount_unused)
    domain = columns.held_for_purpose
    bad = np.flatnonzero(domain & (columns.refcount == unused))
    return frames_finding(
        int(np.count_nonzero(domain)),
        bad,
        lambda pfn: ("refcount", "a count of holders", f"{int(columns.refcount[pfn]):#x}"),
    )


def holder_single(columns: Columns) -> Sighting:
    domain = columns.held_for_purpose
    bad = np.flatnonzero(domain & (columns.order != 0))
    return frames_finding(
        int(np.count_nonzero(domain)), bad, lambda pfn: ("order", "0", str(columns.order[pfn]))
    )


def cache_entries(columns: Columns) -> Sighting:
    entries = columns.state.cached["pfn"]
    outside = entries[entries >= columns.n_frames]
    finding = Sighting(
        len(outside),
        len(outside),
        tuple(
            (int(pfn), "cache entry", f"a frame below {columns.n_frames:#x}", f"{int(pfn):#x}")
            for pfn in outside[:MAX_COUNTEREXAMPLES]
        ),
    )
    pfns, times = np.unique(columns.cached_pfns, return_counts=True)
    wrong = (times != 1) | ~columns.free[pfns] | (columns.order[pfns] != 0) | columns.has_link[pfns]

    def describe(pfn: int) -> tuple[str, str, str]:
        entered = int(np.count_nonzero(columns.cached_pfns == pfn))
        links = "links" if columns.has_link[pfn] else "no links"
        got = f"{entered} times, flags {int(columns.flags[pfn]):#x} order {columns.order[pfn]} {links}"
        return "cache entry", "once, FREE, order 0, no links", got

    return finding + frames_finding(len(pfns), pfns[wrong], describe)


def quarantine(columns: Columns) -> Sighting:
    known = columns.state.quarantined
    if known is None:
        return Sighting(0)
    pfns = np.unique(columns.in_table(known))
    wrong = columns.free[pfns] | columns.cached[pfns] | (columns.refcount[pfns] != 0) | columns.has_link[pfns]
    return frames_finding(
        len(pfns),
        pfns[wrong],
        lambda pfn: (
            "flags",
            "out of circulation: not FREE, in no cache, refcount 0, no links",
            f"flags {int(columns.flags[pfn]):#x} refcount {int(columns.refcount[pfn]):#x}",
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
