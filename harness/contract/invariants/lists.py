"""The free lists of a state, walked once for all invariants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.contract.invariants.walk import cut_merges, walk
from harness.contract.memory_state import N_MIGRATETYPES
from harness.units import PAGE_SHIFT

if TYPE_CHECKING:
    from harness.contract.invariants.columns import Columns

Number = TypeVar("Number", np.int32, np.uint64)

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
        # Read once, because a live table may change.
        linked = np.flatnonzero(columns.has_link)
        links = {side: columns.state.slots[side][linked] for side in ("next", "prev")}
        leads = {side: self.decode(links[side]) for side in links}
        self.pfns = self._find_nodes(leads.values())
        # Two more entries for what no frame number stands for: `index[NO_FRAME]` and `index[NOWHERE]` are -1.
        self.index = np.full(columns.n_frames + 2, -1, dtype=np.int32)
        self.index[self.pfns] = np.arange(len(self.pfns), dtype=np.int32)
        at = self.index[linked]
        self.next_links, self.prev_links = self._spread(links, at, self._none)
        self.next_pfns, self.prev_pfns = self._spread(leads, at, np.int32(NO_FRAME))

    def decode(self, links: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The pfn that each link leads to, `NO_FRAME` or `NOWHERE`."""
        # Rotated right by the page's bits, a link that is no frame's address is larger than any pfn.
        rotated = (links >> np.uint64(PAGE_SHIFT)) | (links << np.uint64(64 - PAGE_SHIFT))
        outside = rotated >= self._columns.n_frames
        leads = rotated.astype(np.int32)
        leads[outside] = NOWHERE
        leads[links == self._none] = NO_FRAME
        return leads

    def _find_nodes(self, leads: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
        is_node = np.zeros(self._columns.n_frames + 2, dtype=np.bool_)
        np.bitwise_or(self._columns.has_link, self._columns.starts, out=is_node[:-2])
        for pfns in (self.head_pfns, *leads):
            is_node[pfns] = True
        return np.flatnonzero(is_node[:-2]).astype(np.int32)

    def _spread(
        self, columns: Mapping[str, NDArray[Number]], at: NDArray[np.int32], absent: Number
    ) -> tuple[NDArray[Number], NDArray[Number]]:
        """Columns next and prev of the linked slots, `at` these nodes, as columns of all nodes."""
        spread = (np.full(len(self.pfns), absent), np.full(len(self.pfns), absent))
        for column, side in zip(spread, ("next", "prev"), strict=True):
            column[at] = columns[side]
        return spread

    # ---- per node ---------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> NDArray[np.uint8]:
        return self._columns.order[self.pfns]

    @cached_property
    def listed_free(self) -> NDArray[np.bool_]:
        return self._columns.listed_free[self.pfns]

    def nodes_at(self, pfns: NDArray[np.int32]) -> NDArray[np.int32]:
        """The node at each pfn of the table, -1 where there is none, also at `NO_FRAME` and `NOWHERE`."""
        return self.index[pfns]

    def _prev_of(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Where the prev link of each node leads, `NO_FRAME` for node -1."""
        return np.append(self.prev_pfns, np.int32(NO_FRAME))[nodes]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Nodes whose next leads to a node whose prev leads back."""
        return self._edges[1][: len(self.pfns)]

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
    def ends(self) -> NDArray[np.int32]:
        """The pfn behind each node's block by its own order, which is taken as far as an order can go."""
        sizes = np.int32(1) << np.minimum(np.arange(256), self._n_orders - 1).astype(np.int32)
        return self.pfns + sizes[self.order]

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

    def home_of(self, nodes: NDArray[np.intp]) -> NDArray[np.int32]:
        """The number of the list that each node belongs on by its zone, 8 MiB block, order; -1 for none."""
        pfns = self.pfns[nodes]
        zone = self._columns.zone_of[pfns].astype(np.int32)
        order = self.order[nodes]
        home = (zone * np.int32(N_MIGRATETYPES) + self._columns.movable[pfns]) * np.int32(self._n_orders)
        home += order
        home[(zone < 0) | (order >= self._n_orders)] = -1
        return home
