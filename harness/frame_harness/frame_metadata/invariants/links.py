"""Invariants of the free lists: links, heads, what they reach."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.frames import Mask
from frame_harness.frame_metadata.invariants.lists import NO_FRAME, NOWHERE


def links_in_table(columns: Columns) -> Sighting:
    """Judge W-LINK-IN-TABLE; looks at each link of a node of the lists that is not LINK_NONE."""
    lists = columns.lists
    finding = Sighting(0)
    for field, pfns, links in (
        ("next", lists.next_pfns, lists.next_links),
        ("prev", lists.prev_pfns, lists.prev_links),
    ):
        bad = np.flatnonzero(pfns == NOWHERE)
        examples = tuple(
            (
                Pfn(int(lists.pfns[node])),
                field,
                "a frame's address in the table or LINK_NONE",
                f"{int(links[node]):#x}",
            )
            for node in bad[:MAX_COUNTEREXAMPLES]
        )
        finding += Sighting(int(np.count_nonzero(pfns != NO_FRAME)), len(bad), examples)
    return finding


def links_symmetric(columns: Columns) -> Sighting:
    """Judge W-LINK-SYMMETRIC; looks at each link of a node that leads to a frame with a slot."""
    lists = columns.lists
    has_next, has_prev = lists.next_pfns >= 0, lists.prev_pfns >= 0
    if lists.symmetric:
        return Sighting(int(np.count_nonzero(has_next) + np.count_nonzero(has_prev)))
    return _unanswered(columns, "next", has_next) + _unanswered(columns, "prev", has_prev)


def _unanswered(columns: Columns, field: str, has_link: Mask) -> Sighting:
    lists = columns.lists
    forth, other = (lists.next_pfns, "prev") if field == "next" else (lists.prev_pfns, "next")
    sources = np.flatnonzero(has_link)
    targets = forth[sources]
    # The slots themselves are asked: what a slot outside RAM leads to need be no node.
    back = lists.decode(columns.slots[other][targets])
    bad = np.flatnonzero(back != lists.pfns[sources])
    examples = tuple(
        (
            Pfn(int(lists.pfns[sources[at]])),
            field,
            f"a slot whose {other} leads back",
            f"pfn {int(targets[at]):#x} whose {other} leads to {_place(Pfn(int(back[at])))}",
        )
        for at in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(len(sources), len(bad), examples)


def _place(pfn: Pfn) -> str:
    return {NO_FRAME: "LINK_NONE", NOWHERE: "no frame"}.get(pfn, f"pfn {pfn:#x}")


def only_heads_linked(columns: Columns) -> Sighting:
    """Judge W-LINK-HEADS-ONLY; counts all slots that start no free block, those outside RAM included."""
    lists = columns.lists
    bad = lists.pfns[lists.has_link & ~lists.is_block]

    def describe(pfn: Pfn) -> tuple[str, str, str]:
        slot = columns.state.slots[pfn]
        field = "next" if int(slot["next"]) != columns.constants.link_none else "prev"
        return field, "LINK_NONE, as it starts no free block", f"{int(slot[field]):#x}"

    return frames_finding(columns.n_frames - len(lists.free_blocks.pfns), bad, describe)


def head_pointers(columns: Columns) -> Sighting:
    """Judge W-LIST-HEAD; looks at the head pointer of each list, empty ones included."""
    lists = columns.lists
    bad = np.flatnonzero(lists.head_pfns == NOWHERE)
    examples = tuple(
        (
            None,
            f"head of {lists.name(int(number))}",
            "a frame's address in the table or LINK_NONE",
            f"{int(lists.head_links[number]):#x}",
        )
        for number in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(len(lists.head_pfns), len(bad), examples)


def head_has_no_prev(columns: Columns) -> Sighting:
    """Judge W-LIST-HEAD-NO-PREV; looks at each frame that a head pointer leads to, once."""
    lists = columns.lists
    heads = np.unique(lists.head_pfns[lists.head_pfns >= 0])
    bad = heads[lists.prev_pfns[lists.nodes_at(heads)] != NO_FRAME]
    return frames_finding(
        len(heads),
        bad,
        lambda pfn: (
            "prev",
            "LINK_NONE, as a list starts here",
            f"{int(columns.state.slots['prev'][pfn]):#x}",
        ),
    )


def no_cycle(columns: Columns) -> Sighting:
    """Judge W-LIST-ACYCLIC; looks at each node of the lists, and blames where a link closes a cycle."""
    lists = columns.lists
    merges = lists.merges
    closing = merges.targets[merges.closes_cycle]
    rings = np.flatnonzero(lists.in_rootless_cycle)
    bad = np.unique(lists.pfns[np.concatenate([closing, rings])])
    examples = tuple(
        (Pfn(int(pfn)), "next", "a list that ends", "one that comes back to this frame")
        for pfn in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(len(lists.pfns), len(bad), examples)


def reached_once(columns: Columns) -> Sighting:
    """Judge W-LIST-REACHES-ONCE; looks at each free block, and blames nodes that a second link leads to."""
    lists = columns.lists
    blocks = lists.free_blocks
    order = columns.swept.order
    finding = frames_finding(
        len(blocks.pfns),
        blocks.pfns[blocks.list_of < 0],
        lambda pfn: ("next", f"free block of order {order[pfn]} on one list", "on none"),
    )
    merges = lists.merges
    again = np.unique(lists.pfns[merges.targets])
    examples = tuple(
        (Pfn(int(pfn)), "next", "a frame that one link leads to", "two")
        for pfn in again[:MAX_COUNTEREXAMPLES]
    )
    return finding + Sighting(0, len(again), examples)


def at_home(columns: Columns) -> Sighting:
    """Judge W-LIST-HOME; looks at each free block that a list reaches."""
    lists = columns.lists
    blocks, homes = lists.free_blocks, lists.homes
    reached = blocks.list_of >= 0
    bad = np.flatnonzero((homes != blocks.list_of) & reached)
    examples = tuple(
        (
            Pfn(int(blocks.pfns[at])),
            "list",
            lists.name(int(homes[at])),
            lists.name(int(blocks.list_of[at])),
        )
        for at in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(int(np.count_nonzero(reached)), len(bad), examples)


def only_free_listed(columns: Columns) -> Sighting:
    """Judge W-LIST-ONLY-FREE; looks at each node that a list reaches."""
    lists = columns.lists
    reached = np.flatnonzero(lists.list_of >= 0)
    bad = lists.pfns[reached[~lists.listed_free[reached]]]
    return frames_finding(
        len(reached),
        bad,
        lambda pfn: (
            "flags",
            "FREE and in no cache, as a list holds it",
            f"{columns.number('flags', pfn):#x}{' in a cache' if columns.cached[pfn] else ''}",
        ),
    )


INVARIANTS = (
    Invariant(
        "W-LINK-IN-TABLE",
        ("FREE-03",),
        holds="every next and prev in RAM: LINK_NONE, or a multiple of 4096 whose frame has a slot",
        blind_to="a link to the wrong frame; links of a slot outside RAM that no other link leads to",
        evaluate=links_in_table,
    ),
    Invariant(
        "W-LINK-SYMMETRIC",
        ("FREE-03",),
        holds="next(p) == q <=> prev(q) == p",
        blind_to="a chain that is consistent in itself but on no list",
        evaluate=links_symmetric,
    ),
    Invariant(
        "W-LINK-HEADS-ONLY",
        ("FREE-03", "FREE-01", "ALLOC-09"),
        holds="a slot in RAM that starts no free block: next == prev == LINK_NONE",
        blind_to="links of a free block that is alone on its list and should have none; links of a slot "
        "outside RAM that no other link leads to",
        evaluate=only_heads_linked,
    ),
    Invariant(
        "W-LIST-HEAD",
        ("FREE-03",),
        holds="every list's head pointer: LINK_NONE, or a multiple of 4096 whose frame has a slot",
        blind_to="a head pointer to the wrong frame",
        evaluate=head_pointers,
    ),
    Invariant(
        "W-LIST-HEAD-NO-PREV",
        ("FREE-03",),
        holds="every list head h: prev(h) == LINK_NONE",
        blind_to="blocks behind the head",
        evaluate=head_has_no_prev,
    ),
    Invariant(
        "W-LIST-ACYCLIC",
        ("FREE-03",),
        holds="following next from any slot ends",
        blind_to="two lists that share a tail",
        evaluate=no_cycle,
    ),
    Invariant(
        "W-LIST-REACHES-ONCE",
        ("FREE-03", "FREE-04"),
        holds="every free block is reached from exactly one list's head, by one path",
        blind_to="which list; behind a link that is not answered only one of two paths is followed",
        evaluate=reached_once,
    ),
    Invariant(
        "W-LIST-HOME",
        ("FREE-03", "FREE-05"),
        holds="a free block is on the list of its zone, its 8 MiB block's migratetype and its order",
        blind_to="blocks that no list reaches",
        evaluate=at_home,
    ),
    Invariant(
        "W-LIST-ONLY-FREE",
        ("FREE-03", "ALLOC-14", "GUARD-07", "ARRAY-11"),
        holds="whatever a list reaches is FREE and in no CPU cache",
        blind_to="what no list reaches",
        evaluate=only_free_listed,
    ),
)
