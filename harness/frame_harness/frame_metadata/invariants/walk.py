"""Walks linked lists of any shape in linear time with array operations alone."""

from __future__ import annotations

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

Nodes = NDArray[np.intp]
"""Numbers of nodes."""

# One cursor starts at every 16th node or so: about 16 * ln(cursors) lock-step rounds in all, while joining
# the segments costs next to nothing.
NODES_PER_CURSOR = 16
# Cursors that have come to the end of their segment are taken out once in so many rounds.
ROUNDS_AT_A_TIME = 8
# The cursors' places are drawn at random so that no arrangement of links can bunch them; a fixed seed keeps
# the answer's cost, which is all that it decides, the same from run to run. The number is ours.
CURSOR_SEED = 0x5EED


def walk(successor: Nodes, roots: Nodes) -> NDArray[np.int32]:
    """Follow `successor` from every root at once (splitter walk; O(nodes) work, no loop over nodes).

    Args:
        successor: shape (n_nodes,), the node after each node, -1 at an end; no node may follow two nodes, so
            that the graph is nothing but paths and cycles (`cut_merges` makes it so).
        roots: shape (n_roots,), distinct nodes that follow no node.
    Returns:
        Shape (n_nodes,), for each node the index into `roots` of the walk that meets it, -1 when none does.
    """
    n_nodes = len(successor)
    cursors = _cursor_places(n_nodes, roots)
    # One more node is the end of every segment, and its own successor.
    end = n_nodes
    after = np.append(successor, end)
    after[after < 0] = end
    ids = np.arange(len(cursors), dtype=np.int32)
    segment_of = np.full(n_nodes + 1, -1, dtype=np.int32)
    segment_of[cursors] = ids
    last = np.flatnonzero(segment_of[after] >= 0)
    first_behind = segment_of[after[last]]
    after[last] = end

    at = after[cursors]
    while len(at):
        for _ in range(ROUNDS_AT_A_TIME):
            segment_of[at] = ids
            at = after.take(at, mode="clip")  # all are in range; what looks for others is twice as slow
        going = np.flatnonzero(at != end)
        at, ids = at[going], ids[going]

    before = np.full(len(cursors), -1, dtype=np.intp)
    before[first_behind] = segment_of[last]
    root_of_segment = _join_segments(before, len(roots))
    root_of: NDArray[np.int32] = np.append(root_of_segment, np.int32(-1))[segment_of[:n_nodes]]
    return root_of


def _cursor_places(n_nodes: int, roots: Nodes) -> Nodes:
    """The roots, in order, then a random sample of the other nodes."""
    sample = default_rng(CURSOR_SEED).integers(0, max(n_nodes, 1), n_nodes // NODES_PER_CURSOR)
    chosen = np.zeros(n_nodes, dtype=np.bool_)
    chosen[sample] = True
    chosen[roots] = False
    return np.concatenate([roots, np.flatnonzero(chosen)])


def _join_segments(before: NDArray[np.intp], n_roots: int) -> NDArray[np.int32]:
    """The root (a segment below `n_roots`) that each segment hangs on, -1 for segments of a rootless cycle.

    Pointer jumping towards the root; segments are few, so its extra factor log(segments) does not count.

    Args:
        before: the segment that each one follows, -1 for none.
    """
    n_segments = len(before)
    before = np.where(before < 0, np.arange(n_segments), before)
    for _ in range(n_segments.bit_length()):
        before = before[before]
    return np.where(before < n_roots, before, -1).astype(np.int32)


def cut_merges(successor: Nodes, preferred: NDArray[np.bool_]) -> Nodes:
    """The sources of edges to take away so that no node follows two nodes.

    Of several edges into one node a preferred one stays.

    Args:
        successor: shape (n_nodes,), the node after each node, -1 at an end.
        preferred: shape of `successor`.
    Returns:
        Shape (k,), each edge by the node that it leads from.
    """
    kept_source = np.full(len(successor), -1, dtype=np.intp)
    has_edge = successor >= 0
    sources = np.flatnonzero(has_edge)
    kept_source[successor[sources]] = sources
    if (kept_source[successor[sources]] == sources).all():
        return np.empty(0, dtype=np.intp)
    plain = np.flatnonzero(has_edge & ~preferred)
    strong = np.flatnonzero(has_edge & preferred)
    kept_source[successor[plain]] = plain
    kept_source[successor[strong]] = strong
    sources = np.concatenate([plain, strong])
    cut: Nodes = sources[kept_source[successor[sources]] != sources]
    return np.sort(cut)
