"""The free lists of a state, walked once for all invariants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT
from frame_harness.frame_metadata.invariants.frames import Frames, Mask, Pfns
from frame_harness.frame_metadata.invariants.sweep import Swept
from frame_harness.frame_metadata.invariants.walk import Nodes, cut_merges, walk
from frame_harness.frame_metadata.memory_state import N_MIGRATETYPES

NO_FRAME = -1
"""Where a link of LINK_NONE leads."""
NOWHERE = -2
"""Where a link leads that is no frame's address or lies outside the table."""


@dataclass(frozen=True, eq=False)
class FreeBlocks:
    """All free blocks by ascending pfn; all arrays have shape (n_blocks,)."""

    pfns: Pfns
    ends: Pfns
    """The pfn behind each block by its own order, which is taken as far as an order can go."""
    order: NDArray[np.uint8]
    zone: NDArray[np.int8]
    """The index of each block's zone, -1 for none."""
    list_of: NDArray[np.int32]
    """The number of the list that reaches each block, -1 when none does."""


@dataclass(frozen=True, eq=False)
class Merges:
    """Links into a block that another link leads to already; all arrays have shape (n_links,)."""

    sources: Nodes
    """Node of each such link, or the number of nodes plus the list's number for a head pointer."""
    targets: Nodes
    """Node it leads to."""
    closes_cycle: Mask
    """The target comes before the source on the same path."""


class FreeLists:
    """The graph of all links.

    Its nodes, by ascending pfn: every aligned start of a free block outside the CPU caches, every slot with a
    link, both of RAM alone; every slot that a link or a list's head pointer leads to. A list's number counts
    zones, then migratetypes, then orders.

    Where all links are sound, which is seen in a few passes, the costlier ones are left out: without links
    that merge there is nothing to cut, and prev says who has a predecessor.

    All arrays have shape (n_nodes,) unless they say otherwise.

    Attributes:
        pfns, order, listed_free: of each node.
        next_links, prev_links: of each node, as they are; `next_pfns`, `prev_pfns`: where they lead.
        next_nodes: the node that each node's next leads to, -1 for none.
        head_links, head_pfns, head_nodes: the same of each list's head pointer.
        answered: nodes whose next leads to a node whose prev leads back.
        symmetric: every next is answered, by as many slots as have a prev: so every prev answers one.
    """

    def __init__(self, frames: Frames, swept: Swept) -> None:
        # The frames themselves are not kept: they keep this, and a cycle of references would hold all of
        # these arrays until some later garbage collection.
        self._n_frames = frames.n_frames
        self._none = np.uint64(frames.constants.link_none)
        self._n_orders = frames.constants.max_order + 1
        self._zones = frames.state.zones
        self._zone_of, self._movable = frames.zone_of, frames.movable
        empty = np.empty(0, dtype=np.uint64)
        heads = (zone.heads.astype(np.uint64).ravel() for zone in self._zones)
        self.head_links = np.concatenate([empty, *heads])
        self.head_pfns = self.decode(self.head_links)
        # Two more entries for what no pfn stands for, `NO_FRAME` and `NOWHERE`.
        self._node_of = np.empty(self._n_frames + 2, dtype=np.int32)
        self._node_of.fill(-1)  # less than half of what `numpy.full` takes
        self._set_nodes(swept.nodes, swept.next_links, swept.prev_links)
        # What leads to slots that look like nothing is rare enough to set everything again.
        if not np.array_equal(self.head_nodes >= 0, self.head_pfns >= 0):
            self._add_nodes(frames, self.head_pfns)
        if not self.symmetric:
            self._add_nodes(frames, np.concatenate([self.next_pfns, self.prev_pfns]))
        self.order = swept.order[self.pfns]
        self.listed_free = swept.listed_free[self.pfns]
        self._proper_start = swept.starts
        if self.pfns is not swept.nodes:
            self._proper_start = np.zeros(len(self.pfns), dtype=np.bool_)
            self._proper_start[self.nodes_at(swept.nodes)] = swept.starts

    def decode(self, links: NDArray[np.uint64]) -> Pfns:
        """The pfn that each link leads to, `NO_FRAME` or `NOWHERE`; shape of `links`, which is (k,)."""
        # Rotated right by the page's bits, a link that is no frame's address is larger than any pfn.
        rotated = (links >> np.uint64(PAGE_SHIFT)) | (links << np.uint64(64 - PAGE_SHIFT))
        outside = rotated >= self._n_frames
        leads = rotated.astype(np.intp)
        leads[outside] = NOWHERE
        leads[links == self._none] = NO_FRAME
        return leads

    def _set_nodes(self, pfns: Pfns, next_links: NDArray[np.uint64], prev_links: NDArray[np.uint64]) -> None:
        self.pfns, self.next_links, self.prev_links = pfns, next_links, prev_links
        self.next_pfns, self.prev_pfns = self.decode(next_links), self.decode(prev_links)
        self._node_of[pfns] = np.arange(len(pfns), dtype=np.int32)
        self.next_nodes = self.nodes_at(self.next_pfns)
        self.head_nodes = self.nodes_at(self.head_pfns)
        self.answered: Mask = self._prev_of(self.next_nodes) == pfns
        n_next, n_prev = np.count_nonzero(self.next_pfns >= 0), np.count_nonzero(self.prev_pfns >= 0)
        self.symmetric = bool(n_next == n_prev == np.count_nonzero(self.answered))

    def _add_nodes(self, frames: Frames, pfns: Pfns) -> None:
        slots = frames.state.slots
        all_pfns = np.union1d(self.pfns, pfns[pfns >= 0])
        self._set_nodes(all_pfns, slots["next"][all_pfns], slots["prev"][all_pfns])

    # ---- the graph --------------------------------------------------------------------------------------

    def nodes_at(self, pfns: Pfns) -> Nodes:
        """The node at each pfn of the table, -1 where there is none, also at `NO_FRAME` and `NOWHERE`.

        Returns:
            Shape of `pfns`.
        """
        return self._node_of[pfns].astype(np.intp)

    def _prev_of(self, nodes: Nodes) -> Pfns:
        """Where the prev link of each node leads, `NO_FRAME` for node -1."""
        return np.append(self.prev_pfns, NO_FRAME)[nodes]

    @cached_property
    def has_link(self) -> Mask:
        """Nodes with a link other than LINK_NONE."""
        has: Mask = (self.next_pfns != NO_FRAME) | (self.prev_pfns != NO_FRAME)
        return has

    @cached_property
    def _sound(self) -> bool:
        """Symmetric, and every list starts at a node of its own that has no prev: no two links merge."""
        starts = self.head_nodes[self.head_nodes >= 0]
        distinct = len(np.unique(starts)) == len(starts)
        return self.symmetric and distinct and bool((self._prev_of(starts) == NO_FRAME).all())

    @cached_property
    def _kept_edges(self) -> tuple[Nodes, Nodes, Nodes]:
        """Successor of each node, then of each list; source and target of the links taken away for it."""
        edges = np.concatenate([self.next_nodes, self.head_nodes])
        if self._sound:
            nothing = np.empty(0, dtype=np.intp)
            return edges, nothing, nothing
        sources = cut_merges(edges, np.concatenate([self.answered, self._heads_answered]))
        targets = edges[sources]
        edges[sources] = -1
        return edges, sources, targets

    @property
    def _heads_answered(self) -> Mask:
        """Lists whose head pointer leads to a block without prev."""
        answered: Mask = self._prev_of(self.head_nodes) == NO_FRAME
        return answered & (self.head_nodes >= 0)

    @cached_property
    def _has_predecessor(self) -> Mask:
        if self._sound:
            follows = self.prev_pfns >= 0
            follows[self.head_nodes[self.head_nodes >= 0]] = True
            return follows
        successor, _, _ = self._kept_edges
        follows = np.zeros(len(self.pfns), dtype=np.bool_)
        follows[successor[successor >= 0]] = True
        return follows

    @cached_property
    def _root_of(self) -> NDArray[np.int32]:
        """For each node, then each list: the list that reaches it, a number beyond those for a loose path."""
        n_nodes, n_lists = len(self.pfns), len(self.head_pfns)
        loose = np.flatnonzero(~self._has_predecessor)
        lists = np.arange(n_nodes, n_nodes + n_lists)
        return walk(self._kept_edges[0], np.concatenate([lists, loose]))

    @cached_property
    def list_of(self) -> NDArray[np.int32]:
        """The number of the list that reaches each node, -1 when none does."""
        root_of = self._root_of[: len(self.pfns)].copy()
        root_of[root_of >= len(self.head_pfns)] = -1
        return root_of

    @property
    def in_rootless_cycle(self) -> Mask:
        """Nodes on a ring that no link leads into."""
        return self._root_of[: len(self.pfns)] < 0

    @cached_property
    def merges(self) -> Merges:
        """The links that were cut to leave each node one predecessor; none where all links are sound."""
        _, sources, targets = self._kept_edges
        # A cut link's source ends its path, so a target on the same path lies before it.
        return Merges(sources, targets, self._root_of[sources] == self._root_of[targets])

    # ---- free blocks ------------------------------------------------------------------------------------

    @cached_property
    def _ends(self) -> Pfns:
        """The pfn behind each node's block."""
        sizes = np.intp(1) << np.minimum(np.arange(256), self._n_orders - 1)
        return self.pfns + sizes[self.order]

    @cached_property
    def is_block(self) -> Mask:
        """Nodes that are a free block: free, outside the caches, and held by a list or inside no other block.

        A slot inside a block looks like a block of its own when its order is corrupted or a stray link leads
        to it; as no list holds it by links that agree, it counts as a part of its surroundings.
        """
        if self._sound:
            held = self._has_predecessor & (self.list_of >= 0)
        else:
            held = np.zeros(len(self.pfns), dtype=np.bool_)
            held[self.next_nodes[self.answered]] = True
            held[self.head_nodes[self._heads_answered]] = True
            held &= self.list_of >= 0
        held &= self.listed_free
        if held.all():
            return held
        ends = self._ends * self.listed_free
        ends_before = np.maximum.accumulate(np.concatenate([np.zeros(1, np.intp), ends]))[:-1]
        return self.listed_free & (held | (self._proper_start & (self.pfns >= ends_before)))

    @cached_property
    def free_blocks(self) -> FreeBlocks:
        """The nodes that are free blocks."""
        here = slice(None) if self.is_block.all() else self.is_block
        pfns = self.pfns[here]
        return FreeBlocks(pfns, self._ends[here], self.order[here], self._zone_of[pfns], self.list_of[here])

    # ---- per list ---------------------------------------------------------------------------------------

    def name(self, number: int) -> str:
        """A list in words, such as `Normal movable order 3`."""
        if number < 0:
            return "no list"
        zone, rest = divmod(number, N_MIGRATETYPES * self._n_orders)
        migratetype, order = divmod(rest, self._n_orders)
        kind = "movable" if migratetype else "unmovable"
        return f"{self._zones[zone].name} {kind} order {order}"

    @cached_property
    def homes(self) -> NDArray[np.int32]:
        """The number of the list that each free block belongs on by zone, 8 MiB block, order; -1 for none.

        Returns:
            Shape (n_blocks,), in the order of `free_blocks`.
        """
        blocks = self.free_blocks
        home = blocks.zone.astype(np.int32)
        home *= N_MIGRATETYPES
        home += self._movable[blocks.pfns]
        home *= self._n_orders
        home += blocks.order
        home[(blocks.zone < 0) | (blocks.order >= self._n_orders)] = -1
        return home
