"""Walks linked lists of any shape in linear time with array operations alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# One cursor starts at every 32nd node or so: about 32 * ln(cursors) lock-step rounds in all, while joining
# the segments costs next to nothing.
NODES_PER_CURSOR = 32
# The cursors' places are drawn at random so that no arrangement of links can bunch them; a fixed seed keeps
# the answer's cost, which is all that it decides, the same from run to run.
CURSOR_SEED = 0x5EED


def walk(successor: NDArray[np.int32], roots: NDArray[np.int32]) -> NDArray[np.int32]:
    """Follow `successor` from every root at once (splitter walk; O(nodes) work, no loop over nodes).

    Args:
        successor: node after each node, -1 at an end; no node may follow two nodes, so that the
            graph is nothing but paths and cycles (`cut_merges` makes it so).
        roots: distinct nodes that follow no node.
    Returns:
        For each node the index into `roots` of the walk that meets it, -1 when none does.
    """
    n_nodes = len(successor)
    after = np.append(successor, np.int32(-1))  # the end, index -1, is its own successor
    cursors = _cursor_places(n_nodes, roots)
    n_cursors = len(cursors)
    segment_of = np.full(n_nodes + 1, -1, dtype=np.int32)
    segment_of[cursors] = np.arange(n_cursors, dtype=np.int32)
    is_stop = np.zeros(n_nodes + 1, dtype=np.bool_)
    is_stop[cursors] = True
    is_stop[-1] = True

    stopped_at = np.full(n_cursors, -1, dtype=np.int32)
    ids = np.arange(n_cursors, dtype=np.int32)
    at = after[cursors]
    while len(ids):
        stops = is_stop[at]
        if stops.any():
            stopped_at[ids[stops]] = at[stops]
            going = ~stops
            ids, at = ids[going], at[going]
        segment_of[at] = ids
        at = after[at]

    root_of_segment = _join_segments(segment_of[stopped_at], len(roots))
    root_of: NDArray[np.int32] = np.append(root_of_segment, np.int32(-1))[segment_of[:n_nodes]]
    return root_of


def _cursor_places(n_nodes: int, roots: NDArray[np.int32]) -> NDArray[np.int32]:
    """The roots, in order, then a random sample of the other nodes."""
    sample = np.random.default_rng(CURSOR_SEED).integers(0, max(n_nodes, 1), n_nodes // NODES_PER_CURSOR)
    chosen = np.zeros(n_nodes, dtype=np.bool_)
    chosen[sample] = True
    chosen[roots] = False
    return np.concatenate([roots, np.flatnonzero(chosen).astype(np.int32)])


def _join_segments(next_segment: NDArray[np.int32], n_roots: int) -> NDArray[np.int32]:
    """The root (a segment below `n_roots`) that each segment hangs on, -1 for segments of a rootless cycle.

    Pointer jumping towards the root; segments are few, so its extra factor log(segments) does not count.
    """
    n_segments = len(next_segment)
    before = np.arange(n_segments, dtype=np.int32)
    follows = np.flatnonzero(next_segment >= 0)
    before[next_segment[follows]] = follows
    for _ in range(n_segments.bit_length()):
        before = before[before]
    return np.where(before < n_roots, before, np.int32(-1))


def cut_merges(successor: NDArray[np.int32], preferred: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The sources of edges to take away so that no node follows two nodes.

    Of several edges into one node a preferred one stays.

    Args:
        successor: node after each node, -1 at an end.
        preferred: shape of `successor`.
    """
    kept_source = np.full(len(successor), -1, dtype=np.int32)
    has_edge = successor >= 0
    sources = np.flatnonzero(has_edge).astype(np.int32)
    kept_source[successor[sources]] = sources
    if (kept_source[successor[sources]] == sources).all():
        return np.empty(0, dtype=np.int32)
    plain = np.flatnonzero(has_edge & ~preferred).astype(np.int32)
    strong = np.flatnonzero(has_edge & preferred).astype(np.int32)
    kept_source[successor[plain]] = plain
    kept_source[successor[strong]] = strong
    sources = np.concatenate([plain, strong])
    cut: NDArray[np.int32] = sources[kept_source[successor[sources]] != sources]
    return np.sort(cut)
