"""Invariants of free blocks: alignment, agreement of their slots, coalescing."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.frames import Pfns
from frame_harness.frame_metadata.invariants.lists import FreeBlocks


def aligned(columns: Columns) -> Sighting:
    """Judge W-BLOCK-ALIGNED; looks at each free block, and finds an order beyond the largest as well."""
    blocks = columns.lists.free_blocks
    largest = columns.constants.max_order
    bad = (blocks.order > largest) | (blocks.pfns & (blocks.ends - blocks.pfns - 1) != 0)

    def describe(pfn: Pfn) -> tuple[str, str, str]:
        alignment = min(largest, (pfn & -pfn).bit_length() - 1) if pfn else largest
        return "order", f"at most {alignment}, by its start", str(columns.swept.order[pfn])

    return frames_finding(len(blocks.pfns), blocks.pfns[bad], describe)


def one_zone(columns: Columns) -> Sighting:
    """Judge W-BLOCK-ONE-ZONE; looks at each free block, by the zones of its first and its last frame."""
    blocks = columns.lists.free_blocks
    bad = (blocks.zone < 0) | (columns.zone_of[_last(columns, blocks)] != blocks.zone)
    bad |= blocks.ends > columns.n_frames
    return frames_finding(
        len(blocks.pfns),
        blocks.pfns[bad],
        lambda pfn: ("order", "a block inside one zone", f"order {columns.swept.order[pfn]} across its edge"),
    )


def _last(columns: Columns, blocks: FreeBlocks) -> Pfns:
    """The last frame of each block that is in the table."""
    return np.minimum(blocks.ends, columns.n_frames) - 1


def slots_agree(columns: Columns) -> Sighting:
    """Judge W-BLOCK-AGREES; looks at each listed free slot that starts no block, then at each block's end."""
    # A free slot that starts no block must continue the block of the slot before it: then, step by step, it
    # belongs to the aligned start below it. A block whose last slot does so is complete.
    order = columns.swept.order
    finding = frames_finding(
        columns.swept.n_inside,
        columns.swept.torn,
        lambda pfn: (
            "order",
            "FREE and order of the slot before, inside one block",
            f"order {order[pfn]} after flags {columns.number('flags', Pfn(max(pfn - 1, 0))):#x} "
            f"order {order[max(pfn - 1, 0)]}",
        ),
    )
    blocks = columns.lists.free_blocks
    last = _last(columns, blocks)
    whole = (
        (blocks.ends <= columns.n_frames) & columns.swept.listed_free[last] & (order[last] == blocks.order)
    )
    return finding + frames_finding(
        len(blocks.pfns),
        blocks.pfns[~whole],
        lambda pfn: (
            "order",
            f"2^{order[pfn]} FREE slots of order {order[pfn]}",
            "another slot at the block's end",
        ),
    )


def disjoint(columns: Columns) -> Sighting:
    """Judge W-BLOCK-DISJOINT; looks at each free block, and blames the one with the higher start."""
    blocks = columns.lists.free_blocks
    ends_before = np.maximum.accumulate(blocks.ends[:-1])
    return frames_finding(
        len(blocks.pfns),
        blocks.pfns[1:][blocks.pfns[1:] < ends_before],
        lambda pfn: (
            "order",
            "a block outside all others",
            f"order {columns.swept.order[pfn]} inside another block",
        ),
    )


def coalesced(columns: Columns) -> Sighting:
    """Judge W-BLOCK-COALESCED; looks at free blocks below the largest order, and blames the lower buddy."""
    # The upper of two free buddies is the next free block behind the lower one.
    blocks = columns.lists.free_blocks
    pfns, order = blocks.pfns, blocks.order
    both = (blocks.ends[:-1] == pfns[1:]) & (order[:-1] == order[1:]) & (blocks.zone[:-1] == blocks.zone[1:])
    low = np.flatnonzero(both)
    size = blocks.ends[low] - pfns[low]
    bad = low[(order[low] < columns.constants.max_order) & (pfns[low] & (2 * size - 1) == 0)]
    examples = tuple(
        (
            Pfn(int(pfns[at])),
            "order",
            f"one free block of order {order[at] + 1}",
            f"free buddies {int(pfns[at]):#x} and {int(pfns[at]) + (1 << int(order[at])):#x} "
            f"of order {order[at]}",
        )
        for at in bad[:MAX_COUNTEREXAMPLES]
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
