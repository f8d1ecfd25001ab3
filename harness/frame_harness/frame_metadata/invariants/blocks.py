"""Invariants of free blocks: alignment, agreement of their slots, coalescing."""

from __future__ import annotations

import numpy as np

from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns


def aligned(columns: Columns) -> Sighting:
    lists = columns.lists
    pfns = lists.pfns[lists.blocks]
    bad = pfns[columns.order[pfns] > columns.alignment[pfns]]
    return frames_finding(
        len(pfns),
        bad,
        lambda pfn: (
            "order",
            f"at most {columns.alignment[pfn]}, by its start",
            str(columns.order[pfn]),
        ),
    )


def one_zone(columns: Columns) -> Sighting:
    lists = columns.lists
    pfns, ends = lists.pfns[lists.blocks], lists.ends[lists.blocks]
    zone = columns.zone_of[pfns]
    last = np.minimum(ends, columns.n_frames) - 1
    bad = (zone < 0) | (columns.zone_of[last] != zone) | (ends > columns.n_frames)
    return frames_finding(
        len(pfns),
        pfns[bad],
        lambda pfn: ("order", "a block inside one zone", f"order {columns.order[pfn]} across its edge"),
    )


def slots_agree(columns: Columns) -> Sighting:
    # A free slot that starts no block must continue the block of the slot before it: then, step by step, it
    # belongs to the aligned start below it. A block whose last slot does so is complete.
    listed, order = columns.listed_free, columns.order
    follows = listed & columns.in_ram & ~columns.starts
    torn = follows.copy()
    torn[1:] &= ~listed[:-1] | (order[1:] != order[:-1])
    finding = frames_finding(
        int(np.count_nonzero(follows)),
        np.flatnonzero(torn),
        lambda pfn: (
            "order",
            "FREE and order of the slot before, inside one block",
            f"order {order[pfn]} after flags {int(columns.flags[max(pfn - 1, 0)]):#x} "
            f"order {order[max(pfn - 1, 0)]}",
        ),
    )
    lists = columns.lists
    pfns, ends = lists.pfns[lists.blocks], lists.ends[lists.blocks]
    last = np.minimum(ends, columns.n_frames) - 1
    whole = (ends <= columns.n_frames) & listed[last] & (order[last] == order[pfns])
    return finding + frames_finding(
        len(pfns),
        pfns[~whole],
        lambda pfn: (
            "order",
            f"2^{order[pfn]} FREE slots of order {order[pfn]}",
            "another slot at the block's end",
        ),
    )


def disjoint(columns: Columns) -> Sighting:
    lists = columns.lists
    pfns, ends = lists.pfns[lists.blocks], lists.ends[lists.blocks]
    ends_before = np.maximum.accumulate(np.concatenate([np.zeros(1, np.int32), ends]))[:-1]
    return frames_finding(
        len(pfns),
        pfns[pfns < ends_before],
        lambda pfn: (
            "order",
            "a block outside all others",
            f"order {columns.order[pfn]} inside another block",
        ),
    )


def coalesced(columns: Columns) -> Sighting:
    # The upper of two free buddies is the next free block behind the lower one.
    lists = columns.lists
    nodes = lists.blocks
    low, high = lists.pfns[nodes[:-1]], lists.pfns[nodes[1:]]
    order = lists.order[nodes]
    both = (lists.ends[nodes[:-1]] == high) & (order[:-1] == order[1:])
    low, high = low[both], high[both]
    buddies = (columns.order[low] < columns.alignment[low]) & (columns.zone_of[low] == columns.zone_of[high])
    bad = low[buddies]
    examples = tuple(
        (
            int(pfn),
            "order",
            f"one free block of order {columns.order[pfn] + 1}",
            f"free buddies {int(pfn):#x} and {int(pfn) + (1 << int(columns.order[pfn])):#x} "
            f"of order {columns.order[pfn]}",
        )
        for pfn in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(int(np.count_nonzero(order < columns.constants.max_order)), len(bad), examples)


INVARIANTS = (
    Invariant(
        "W-BLOCK-ALIGNED",
        ("FREE-04",),
        holds="every free block at p of order k: p is a multiple of 2^k",
        blind_to="a misaligned block that no list reaches; its slots then agree with no start",
        evaluate=aligned,
    ),
    Invariant(
        "W-BLOCK-ONE-ZONE",
        ("FREE-04",),
        holds="every free block: first and last frame lie in the same zone and in the table",
        blind_to="a zone whose bounds the guest publishes wrongly",
        evaluate=one_zone,
    ),
    Invariant(
        "W-BLOCK-AGREES",
        ("FREE-04",),
        holds="every free block of order k: its 2^k slots are FREE, of order k, in no cache, and no "
        "listed free slot lies outside a block",
        blind_to="a slot that is cut out as a whole aligned block of its own that no list reaches",
        evaluate=slots_agree,
    ),
    Invariant(
        "W-BLOCK-DISJOINT",
        ("FREE-04", "ALLOC-14"),
        holds="no two free blocks share a frame",
        blind_to="a block inside another that no list reaches; the slots then disagree",
        evaluate=disjoint,
    ),
    Invariant(
        "W-BLOCK-COALESCED",
        ("FREE-05",),
        holds="no two free buddies of equal order k < MAX_ORDER in one zone (a block below MAX_ORDER lies "
        "inside one 8 MiB block, so its buddy has its migratetype)",
        blind_to="frames in CPU caches, which do not coalesce while they are there",
        evaluate=coalesced,
    ),
)
