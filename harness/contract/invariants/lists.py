"""The free lists of a state, walked once for all invariants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.contract.invariants.walk import cut_merges, walk
from harness.contract.memory_state import N_MIGRATETYPES
from harness.units import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from harness.contract.invariants.columns import Columns

NO_FRAME = -1
"""Where a link of LINK_NONE leads."""
NOWHERE = -2
"""Where a link leads that is no frame's address or lies outside the table."""


@dataclass(frozen=True, eq=False)
class Merges:
    """Links into a block that another link leads to already.

    Args:
        sources: node of each such link, or the number of nodes plus the list's number for a head pointer.
        targets: node it leads to.
        closes_cycle: the target comes before the source on the same path.
    """

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    closes_cycle: NDArray[np.bool_]


class FreeLists:
    """The graph of all links.

    Its nodes, by ascending pfn: every aligned start of a free block outside the CPU caches, every slot with a
    link, every slot that a link or a list's head pointer leads to. A list's number counts zones, then
    migratetypes, then orders.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._none = np.uint64(columns.constants.link_none)
        self._n_orders = columns.constants.max_order + 1
        zones = columns.state.zones
        empty = np.empty(0, dtype=np.uint64)
        self.head_links = np.concatenate([empty, *(zone.heads.astype(np.uint64).ravel() for zone in zones)])
        self.head_pfns = self.decode(self.head_links)
        self.pfns = self._find_nodes()
        self.index = np.full(columns.n_frames, -1, dtype=np.int32)
        self.index[self.pfns] = np.arange(len(self.pfns), dtype=np.int32)

    def decode(self, links: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The pfn that each link leads to, `NO_FRAME` or `NOWHERE`."""
        pfns = links >> np.uint64(PAGE_SHIFT)
        valid = (links & np.uint64(PAGE_SIZE - 1) == 0) & (pfns < self._columns.n_frames)
        leads = np.where(valid, pfns, np.uint64(0)).astype(np.int64)
        leads[~valid] = NOWHERE
        leads[links == self._none] = NO_FRAME
        return leads

    def _find_nodes(self) -> NDArray[np.int64]:
        columns = self._columns
        is_node = columns.has_link | columns.starts
        is_node[self.head_pfns[self.head_pfns >= 0]] = True
        linked = np.flatnonzero(columns.has_link)
        for side in ("next", "prev"):
            pfns = self.decode(columns.state.slots[side][linked])
            is_node[pfns[pfns >= 0]] = True
        return np.flatnonzero(is_node).astype(np.int64)

    # ---- per node ---------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> NDArray[np.uint8]:
        return self._columns.order[self.pfns]

    @cached_property
    def listed_free(self) -> NDArray[np.bool_]:
        return self._columns.listed_free[self.pfns]

    @cached_property
    def next_links(self) -> NDArray[np.uint64]:
        """As the slot says; read once, because a live table may change."""
        links: NDArray[np.uint64] = self._columns.state.slots["next"][self.pfns]
        return links

    @cached_property
    def prev_links(self) -> NDArray[np.uint64]:
        links: NDArray[np.uint64] = self._columns.state.slots["prev"][self.pfns]
        return links

    @cached_property
    def next_pfns(self) -> NDArray[np.int64]:
        return self.decode(self.next_links)

    @cached_property
    def prev_pfns(self) -> NDArray[np.int64]:
        return self.decode(self.prev_links)

    def nodes_at(self, pfns: NDArray[np.int64]) -> NDArray[np.int32]:
        """The node at each pfn, -1 where there is none."""
        nodes = np.full(len(pfns), -1, dtype=np.int32)
        inside = pfns >= 0
        nodes[inside] = self.index[pfns[inside]]
        return nodes

    def _prev_of(self, nodes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where the prev link of each node leads, `NO_FRAME` for node -1."""
        return np.append(self.prev_pfns, NO_FRAME)[nodes]

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Where each node's next and each list's head pointer lead, and whether the target answers.

        An answered link is the true one: prev leads back, or nowhere where a list starts.
        """
        next_nodes = self.nodes_at(self.next_pfns)
        head_nodes = self.nodes_at(self.head_pfns)
        answered = (next_nodes >= 0) & (self._prev_of(next_nodes) == self.pfns)
        first = (head_nodes >= 0) & (self._prev_of(head_nodes) == NO_FRAME)
        return np.concatenate([next_nodes, head_nodes]), np.concatenate([answered, first])

    @cached_property
    def _graph(self) -> tuple[NDArray[np.int32], Merges]:
        """The root of each node and each list's head pointer, with the links that were cut to get there."""
        n_nodes, n_lists = len(self.pfns), len(self.head_pfns)
        edges, answered = self._edges
        sources = cut_merges(edges, answered)
        targets = edges[sources]
        successor = edges.copy()
        successor[sources] = -1
        has_predecessor = np.zeros(len(successor), dtype=np.bool_)
        has_predecessor[successor[successor >= 0]] = True
        loose = np.flatnonzero(~has_predecessor[:n_nodes]).astype(np.int32)
        lists = np.arange(n_nodes, n_nodes + n_lists, dtype=np.int32)
        root_of = walk(successor, np.concatenate([lists, loose]))
        # A cut link's source ends its path, so a target on the same path lies before it.
        return root_of, Merges(sources, targets, root_of[sources] == root_of[targets])

    @cached_property
    def list_of(self) -> NDArray[np.int32]:
        """The number of the list that reaches each node, -1 when none does."""
        root_of = self._graph[0][: len(self.pfns)]
        return np.where(root_of < len(self.head_pfns), root_of, np.int32(-1))

    @cached_property
    def in_rootless_cycle(self) -> NDArray[np.bool_]:
        """Nodes on a ring that no link leads into."""
        return self._graph[0][: len(self.pfns)] < 0

    @property
    def merges(self) -> Merges:
        return self._graph[1]

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """The pfn behind each node's block by its own order, which is taken as far as an order can go."""
        order = np.minimum(self.order, self._n_orders - 1).astype(np.int64)
        return self.pfns + (np.int64(1) << order)

    @cached_property
    def is_block(self) -> NDArray[np.bool_]:
        """Nodes that are a free block: free, outside the caches, and held by a list or inside no other block.

        A slot inside a block looks like a block of its own when its order is corrupted or a stray link leads
        to it; as no list holds it by links that agree, it counts as a part of its surroundings.
        """
        edges, answered = self._edges
        held = np.zeros(len(self.pfns), dtype=np.bool_)
        held[edges[answered]] = True
        held &= self.list_of >= 0
        ends = np.where(self.listed_free, self.ends, 0)
        ends_before = np.maximum.accumulate(np.concatenate([[0], ends]))[:-1]
        proper = self._columns.starts[self.pfns] & (self.pfns >= ends_before)
        return self.listed_free & (held | proper)

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """The nodes that are free blocks, ascending."""
        return np.flatnonzero(self.is_block)

    # ---- per list ---------------------------------------------------------------------------------------

    def name(self, number: int) -> str:
        """A list in words, such as `Normal movable order 3`."""
        if number < 0:
            return "no list"
        zone, migratetype, order = self.parts(number)
        kind = "movable" if migratetype else "unmovable"
        return f"{self._columns.state.zones[zone].name} {kind} order {order}"

    def parts(self, number: int) -> tuple[int, int, int]:
        """Zone, migratetype, order of a list's number."""
        zone, rest = divmod(number, N_MIGRATETYPES * self._n_orders)
        return (zone, *divmod(rest, self._n_orders))

    def home_of(self, nodes: NDArray[np.intp]) -> NDArray[np.int64]:
        """The number of the list that each node belongs on by its zone, 8 MiB block, order; -1 for none."""
        pfns = self.pfns[nodes]
        zone = self._columns.zone_of[pfns].astype(np.int64)
        order = self.order[nodes].astype(np.int64)
        home = (zone * N_MIGRATETYPES + self._columns.movable[pfns]) * self._n_orders + order
        return np.where((zone >= 0) & (order < self._n_orders), home, -1)
