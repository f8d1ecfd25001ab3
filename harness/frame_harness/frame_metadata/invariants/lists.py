"""The free lists of a state, walked once for all invariants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT
from frame_harness.frame_metadata.constants import Constants
from frame_harness.frame_metadata.invariants.walk import cut_merges, walk
from frame_harness.frame_metadata.memory_state import N_MIGRATETYPES, MemoryState

NO_FRAME = -1
"""Where a link of LINK_NONE leads."""
NOWHERE = -2
"""Where a link leads that is no frame's address or lies outside the table."""


class Columns(Protocol):
    """The columns of a slot table that the graph is made of; shapes as in `columns.Columns`."""

    state: MemoryState
    constants: Constants
    n_frames: int
    order: NDArray[np.uint8]
    has_link: NDArray[np.bool_]

    @property
    def zone_of(self) -> NDArray[np.int8]: ...

    @property
    def movable(self) -> NDArray[np.bool_]: ...

    @property
    def listed_free(self) -> NDArray[np.bool_]: ...

    @property
    def starts(self) -> NDArray[np.bool_]: ...

    @property
    def in_ram(self) -> NDArray[np.bool_]: ...


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
    link, both of RAM alone; every slot that a link or a list's head pointer leads to. A list's number counts
    zones, then migratetypes, then orders.

    Where all links are sound, which is seen in a few passes, the costlier ones are left out: without links
    that merge there is nothing to cut, and prev says who has a predecessor.
    """

    def __init__(self, columns: Columns) -> None:
        # The columns themselves are not kept: they keep this, and a cycle of references would hold all of
        # these arrays until some later garbage collection.
        self._n_frames = columns.n_frames
        self._none = np.uint64(columns.constants.link_none)
        self._n_orders = columns.constants.max_order + 1
        self._zones = columns.state.zones
        self._zone_of, self._movable = columns.zone_of, columns.movable
        empty = np.empty(0, dtype=np.uint64)
        heads = (zone.heads.astype(np.uint64).ravel() for zone in self._zones)
        self.head_links = np.concatenate([empty, *heads])
        self.head_pfns = self.decode(self.head_links)
        self._find_nodes(columns)
        self.order = columns.order[self.pfns]
        self.listed_free = columns.listed_free[self.pfns]
        self._proper_start = columns.starts[self.pfns]

    def decode(self, links: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The pfn that each link leads to, `NO_FRAME` or `NOWHERE`."""
        # Rotated right by the page's bits, a link that is no frame's address is larger than any pfn.
        rotated = (links >> np.uint64(PAGE_SHIFT)) | (links << np.uint64(64 - PAGE_SHIFT))
        outside = rotated >= self._n_frames
        leads = rotated.astype(np.int32)
        leads[outside] = NOWHERE
        leads[links == self._none] = NO_FRAME
        return leads

    def _find_nodes(self, columns: Columns) -> None:
        # Two more entries for what no frame number stands for, `NO_FRAME` and `NOWHERE`.
        is_node = np.zeros(self._n_frames + 2, dtype=np.bool_)
        np.bitwise_and(columns.has_link, columns.in_ram, out=is_node[:-2])
        is_node[:-2] |= columns.starts
        is_node[self.head_pfns] = True
        is_node[-2:] = True
        self._read_links(columns, is_node)
        # Links to slots that look like nothing are rare enough to read everything again.
        if not (is_node[self.next_pfns].all() and is_node[self.prev_pfns].all()):
            is_node[self.next_pfns] = True
            is_node[self.prev_pfns] = True
            self._read_links(columns, is_node)
        self.index = np.full(self._n_frames + 2, -1, dtype=np.int32)
        self.index[self.pfns] = np.arange(len(self.pfns), dtype=np.int32)

    def _read_links(self, columns: Columns, is_node: NDArray[np.bool_]) -> None:
        self.pfns = np.flatnonzero(is_node[:-2]).astype(np.int32)
        self.next_links: NDArray[np.uint64] = columns.state.slots["next"][self.pfns]
        self.prev_links: NDArray[np.uint64] = columns.state.slots["prev"][self.pfns]
        self.next_pfns = self.decode(self.next_links)
        self.prev_pfns = self.decode(self.prev_links)

    # ---- the graph --------------------------------------------------------------------------------------

    def nodes_at(self, pfns: NDArray[np.int32]) -> NDArray[np.int32]:
        """The node at each pfn of the table, -1 where there is none, also at `NO_FRAME` and `NOWHERE`."""
        return self.index[pfns]

    def _prev_of(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Where the prev link of each node leads, `NO_FRAME` for node -1."""
        return np.append(self.prev_pfns, np.int32(NO_FRAME))[nodes]

    @cached_property
    def next_nodes(self) -> NDArray[np.int32]:
        return self.nodes_at(self.next_pfns)

    @cached_property
    def head_nodes(self) -> NDArray[np.int32]:
        return self.nodes_at(self.head_pfns)

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Nodes whose next leads to a node whose prev leads back."""
        answered: NDArray[np.bool_] = self._prev_of(self.next_nodes) == self.pfns
        return answered & (self.next_nodes >= 0)

    @cached_property
    def symmetric(self) -> bool:
        """Whether every next is answered, by as many slots as have a prev: so every prev answers one."""
        n_next = np.count_nonzero(self.next_pfns >= 0)
        return bool(n_next == np.count_nonzero(self.prev_pfns >= 0) == np.count_nonzero(self.answered))

    @cached_property
    def _sound(self) -> bool:
        """Symmetric, and every list starts at a node of its own that has no prev: no two links merge."""
        starts = self.head_nodes[self.head_nodes >= 0]
        distinct = len(np.unique(starts)) == len(starts)
        return self.symmetric and distinct and bool((self._prev_of(starts) == NO_FRAME).all())

    @cached_property
    def _kept_edges(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Successor of each node, then of each list; source and target of the links taken away for it."""
        edges = np.concatenate([self.next_nodes, self.head_nodes])
        if self._sound:
            nothing = np.empty(0, dtype=np.int32)
            return edges, nothing, nothing
        sources = cut_merges(edges, np.concatenate([self.answered, self._heads_answered]))
        targets = edges[sources]
        edges[sources] = -1
        return edges, sources, targets

    @property
    def _heads_answered(self) -> NDArray[np.bool_]:
        """Lists whose head pointer leads to a block without prev."""
        answered: NDArray[np.bool_] = self._prev_of(self.head_nodes) == NO_FRAME
        return answered & (self.head_nodes >= 0)

    @cached_property
    def _has_predecessor(self) -> NDArray[np.bool_]:
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
        loose = np.flatnonzero(~self._has_predecessor).astype(np.int32)
        lists = np.arange(n_nodes, n_nodes + n_lists, dtype=np.int32)
        return walk(self._kept_edges[0], np.concatenate([lists, loose]))

    @cached_property
    def list_of(self) -> NDArray[np.int32]:
        """The number of the list that reaches each node, -1 when none does."""
        root_of = self._root_of[: len(self.pfns)].copy()
        root_of[root_of >= len(self.head_pfns)] = -1
        return root_of

    @property
    def in_rootless_cycle(self) -> NDArray[np.bool_]:
        """Nodes on a ring that no link leads into."""
        return self._root_of[: len(self.pfns)] < 0

    @cached_property
    def merges(self) -> Merges:
        _, sources, targets = self._kept_edges
        # A cut link's source ends its path, so a target on the same path lies before it.
        return Merges(sources, targets, self._root_of[sources] == self._root_of[targets])

    # ---- free blocks ------------------------------------------------------------------------------------

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
        if self._sound:
            held = self._has_predecessor & (self.list_of >= 0)
        else:
            held = np.zeros(len(self.pfns), dtype=np.bool_)
            held[self.next_nodes[self.answered]] = True
            held[self.head_nodes[self._heads_answered]] = True
            held &= self.list_of >= 0
        ends = self.ends * self.listed_free
        ends_before = np.maximum.accumulate(np.concatenate([np.zeros(1, np.int32), ends]))[:-1]
        return self.listed_free & (held | (self._proper_start & (self.pfns >= ends_before)))

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """The nodes that are free blocks, ascending."""
        return np.flatnonzero(self.is_block)

    # ---- per list ---------------------------------------------------------------------------------------

    def name(self, number: int) -> str:
        """A list in words, such as `Normal movable order 3`."""
        if number < 0:
            return "no list"
        zone, rest = divmod(number, N_MIGRATETYPES * self._n_orders)
        migratetype, order = divmod(rest, self._n_orders)
        kind = "movable" if migratetype else "unmovable"
        return f"{self._zones[zone].name} {kind} order {order}"

    def home_of(self, nodes: NDArray[np.intp]) -> NDArray[np.int32]:
        """The number of the list that each node belongs on by its zone, 8 MiB block, order; -1 for none."""
        pfns = self.pfns[nodes]
        zone = self._zone_of[pfns].astype(np.int32)
        order = self.order[nodes]
        home = (zone * np.int32(N_MIGRATETYPES) + self._movable[pfns]) * np.int32(self._n_orders)
        home += order
        home[(zone < 0) | (order >= self._n_orders)] = -1
        return home
