"""Healthy states of any shape hold; hostile states of any content are judged, never a crash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.walk import cut_merges, walk
from frame_harness.frame_metadata.memory_state import MemoryState, cached_frames, pfn_ranges
from tests.support.synthetic import LARGEST, SMALL, Shape, healthy_state

WORDS = st.integers(0, 2**64 - 1)
CHANCES = st.floats(0, 1)
HEALTHY = healthy_state(SMALL)
PAST = INVARIANTS.check_all(HEALTHY).past


@st.composite
def ranges(draw: st.DrawFn, n_frames: int, most: int) -> tuple[tuple[int, int], ...]:
    """Ascending disjoint ranges of any alignment, also empty ones."""
    edges = sorted(draw(st.lists(st.integers(0, n_frames), min_size=0, max_size=2 * most)))
    return tuple(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    n_frames = draw(st.integers(1, 8 * LARGEST))
    ends = sorted(draw(st.tuples(st.integers(1, 9), st.integers(1, 9))))
    return Shape(
        n_frames,
        seed=draw(st.integers(0, 2**32)),
        zone_ends=(ends[0] * LARGEST, ends[1] * LARGEST),
        holes=draw(ranges(n_frames, 3)),
        reserved=draw(ranges(n_frames, 3)),
        keep=draw(CHANCES),
        free=draw(CHANCES),
        cached=draw(CHANCES),
        quarantined=draw(CHANCES),
    )


@given(shapes())
def test_healthy_state_of_any_shape_violates_nothing(shape: Shape) -> None:
    state = healthy_state(shape)
    report = INVARIANTS.check_all(state, state)
    assert not report.violated, report.text


def copy() -> MemoryState:
    zones = tuple(replace(zone, heads=zone.heads.copy()) for zone in HEALTHY.zones)
    return replace(HEALTHY.copied(), zones=zones)


@given(st.integers(0, HEALTHY.n_frames - 1), st.integers(0, 63), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_judged(pfn: Pfn, byte: int, change: int) -> None:
    state = copy()
    state.slots.view(np.uint8).reshape(-1, 64)[pfn, byte] ^= change
    assert len(INVARIANTS.check_all(state, PAST).results) == len(INVARIANTS)


@given(
    st.integers(0, 2**32),
    st.sampled_from(["next", "prev", "both", "order", "flags", "all"]),
    st.sampled_from([1, 50, HEALTHY.n_frames]),
    st.booleans(),
)
def test_many_hostile_slots_are_judged(seed: int, what: str, rows: int, plausible: bool) -> None:
    rng = np.random.default_rng(seed)
    state = copy()
    at = rng.permutation(HEALTHY.n_frames)[:rows]
    links = rng.integers(0, HEALTHY.n_frames + 2, (2, rows), dtype=np.uint64) << np.uint64(12)
    if not plausible:
        links = rng.integers(0, 2**64 - 1, (2, rows), dtype=np.uint64, endpoint=True)
    if what in ("next", "both", "all"):
        state.slots["next"][at] = links[0]
    if what in ("prev", "both", "all"):
        state.slots["prev"][at] = links[1]
    if what in ("order", "all"):
        state.slots["order"][at] = rng.integers(0, 13 if plausible else 256, rows)
    if what in ("flags", "all"):
        state.slots["flags"][at] = rng.integers(0, 2**32, rows, dtype=np.uint32)
    assert len(INVARIANTS.check_all(state, PAST).results) == len(INVARIANTS)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 11), WORDS), max_size=8),
    st.lists(st.tuples(WORDS, st.integers(0, 255), st.integers(0, 255)), max_size=8),
    st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40)), max_size=3),
    st.lists(st.integers(-(2**62), 2**62), min_size=6, max_size=6),
)
def test_hostile_heads_caches_ranges_and_zones_are_judged(
    heads: list[tuple[int, int, int, int]],
    cached: list[tuple[int, int, int]],
    odd_ranges: list[tuple[int, int]],
    bounds: list[int],
) -> None:
    state = copy()
    for zone, migratetype, order, link in heads:
        state.zones[zone].heads[migratetype, order] = link
    zones = tuple(
        replace(zone, first_pfn=Pfn(first), end_pfn=Pfn(end), free=first)
        for zone, first, end in zip(state.zones, bounds[::2], bounds[1::2], strict=True)
    )
    wild = replace(
        state,
        zones=zones,
        cached=cached_frames(cached),
        ram=pfn_ranges(odd_ranges),
        off_limits=pfn_ranges(odd_ranges),
        quarantined=np.array(bounds),
        poisoned_while_free=np.array(bounds),
    )
    assert len(INVARIANTS.check_all(wild, PAST).results) == len(INVARIANTS)


# ---- the walk, against one that follows link by link ------------------------------------------------------


@st.composite
def paths_and_cycles(draw: st.DrawFn) -> NDArray[np.intp]:
    """Successors of shuffled nodes that form paths and cycles of random length."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_nodes = draw(st.integers(0, 2000))
    nodes = rng.permutation(n_nodes)
    successor = np.full(n_nodes, -1, dtype=np.intp)
    at = 0
    while at < n_nodes:
        length = draw(st.integers(1, 700))
        part = nodes[at : at + length]
        successor[part[:-1]] = part[1:]
        successor[part[-1]] = part[0] if draw(st.booleans()) else -1
        at += length
    return successor


def follow(successor: NDArray[np.intp], roots: NDArray[np.intp]) -> list[int]:
    root_of = [-1] * len(successor)
    for number, root in enumerate(roots.tolist()):
        at = root
        while at >= 0:
            root_of[at] = number
            at = int(successor[at])
    return root_of


@given(paths_and_cycles())
def test_walk_meets_what_following_each_link_meets(successor: NDArray[np.intp]) -> None:
    roots = np.setdiff1d(np.arange(len(successor)), successor)
    assert walk(successor, roots).tolist() == follow(successor, roots)


@given(st.lists(st.tuples(st.integers(-1, 30), st.booleans()), max_size=31))
def test_cut_leaves_one_way_into_each_node(edges: list[tuple[int, bool]]) -> None:
    successor = np.array([min(target, len(edges) - 1) for target, _ in edges], dtype=np.intp)
    preferred = np.array([flag for _, flag in edges], dtype=np.bool_)

    cut = cut_merges(successor, preferred)

    kept = successor.copy()
    kept[cut] = -1
    reached = kept[kept >= 0]
    assert len(reached) == len(np.unique(reached))
    assert set(reached.tolist()) == set(successor[successor >= 0].tolist())
    for source in cut.tolist():
        keeper = int(np.flatnonzero(kept == successor[source])[0])
        assert preferred[keeper] or not preferred[source]
