"""The fast invariants say what plain definitions say, word for word, wherever a slot is corrupted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.bench.large_states import TILE_FRAMES, tiled_state
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, InvariantReport, InvariantResult
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.invariants import INVARIANTS, words
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.memory_state import Canary, MemoryState, cached_frames, pfn_ranges
from tests.support.plain_invariants import Claim, Example, Plain, PlainPast, plain_claims, plain_past
from tests.support.synthetic import SLOT, Shape, healthy_state

BLOCK = 64
"""Slots a block in these tests, so that small tables have many borders."""
HIGH_FLAG = 1 << 20
"""Beyond the bits that have a name: these are narrower than the field."""


def judged(state: MemoryState, past: Past | None = None) -> InvariantReport[Past]:
    with patch.object(words, "BLOCK_SLOTS", BLOCK):
        return INVARIANTS.check_all(state, past)


def told(report: InvariantReport[Past]) -> dict[str, Claim]:
    """What a report says, with the first counterexamples of each invariant and how many there are."""
    return {
        result.id: Claim(
            result.evaluated,
            _examples(result) + [(None, "", "", "")] * (result.total - len(result.violations)),
        )
        for result in report
    }


def _examples(result: InvariantResult) -> list[Example]:
    return [(each.pfn, each.field, each.expected, each.got) for each in result.violations]


def first_ones(claim: Claim) -> Claim:
    """The same with no more than what a report says."""
    more = len(claim.bad) - MAX_COUNTEREXAMPLES
    return Claim(claim.evaluated, claim.bad[:MAX_COUNTEREXAMPLES] + [(None, "", "", "")] * max(more, 0))


def assert_alike(
    state: MemoryState, past: Past | None = None, plain: PlainPast | None = None
) -> InvariantReport[Past]:
    report = judged(state, past)
    memory = Plain(state)
    claims = {name: first_ones(claim) for name, claim in plain_claims(memory, plain).items()}
    said = told(report)
    assert {name: said[name] for name in claims} == claims
    assert set(said) == set(claims)
    expected = plain_past(memory)
    assert report.past.generation.tolist() == expected.generation
    assert report.past.poisoned.tolist() == expected.poisoned
    return report


# ---- random states, corrupted at random -------------------------------------------------------------------

NUMBERS = {
    "vtable": st.sampled_from([0, 1, 2**63]),
    "refcount": st.sampled_from([0, 1, C.refcount_unused]),
    "generation": st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    "guard": st.sampled_from([0, C.guard_kernel_only, C.guard_poisoned, C.guard_poisoned | 2]),
    "meta_aux": st.sampled_from([0, 7]),
    "order": st.one_of(st.integers(0, 13), st.just(255)),
}
FLAGS = [1 << bit for bit in range(14)] + [HIGH_FLAG]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    n_frames = draw(st.one_of(st.integers(1, 5 * BLOCK + 3), st.integers(4090, 4200)))
    edges = [draw(st.integers(0, n_frames)) for _ in range(4)]
    chance = st.sampled_from([0.0, 0.3, 0.7, 1.0])
    return Shape(
        n_frames,
        seed=draw(st.integers(0, 2**16)),
        zone_ends=draw(st.sampled_from([(2048, 4096), (4096, 8192)])),
        holes=(tuple(sorted(edges[:2])),) if draw(st.booleans()) else (),  # type: ignore[arg-type]
        reserved=(tuple(sorted(edges[2:])),) if draw(st.booleans()) else (),  # type: ignore[arg-type]
        keep=draw(chance),
        free=draw(chance),
        cached=draw(st.sampled_from([0.0, 0.3])),
        quarantined=draw(st.sampled_from([0.0, 0.3])),
    )


@st.composite
def corrupted(draw: st.DrawFn, state: MemoryState) -> MemoryState:
    state = replace(state.copied(), zones=tuple(replace(z, heads=z.heads.copy()) for z in state.zones))
    n_frames = state.n_frames
    pfns = st.one_of(
        st.integers(0, n_frames - 1), st.sampled_from([p for p in borders(n_frames) if p < n_frames])
    )
    links = st.one_of(pfns.map(lambda pfn: pfn << 12), st.sampled_from([C.link_none, 5, n_frames << 12]))
    for what in draw(
        st.lists(st.sampled_from(["flags", "links", "number", "byte", "copy", "head"]), max_size=6)
    ):
        pfn = draw(pfns)
        if what == "flags":
            state.slots["flags"][pfn] ^= draw(st.sampled_from(FLAGS))
        elif what == "links":
            state.slots[draw(st.sampled_from(["next", "prev"]))][pfn] = draw(links)
        elif what == "number":
            field = draw(st.sampled_from(sorted(NUMBERS)))
            state.slots[field][pfn] = draw(NUMBERS[field])
        elif what == "byte":
            state.slots.view(np.uint8).reshape(n_frames, -1)[pfn, draw(st.integers(0, 63))] ^= draw(
                st.integers(1, 255)
            )
        elif what == "copy":
            state.slots[pfn] = state.slots[draw(pfns)].copy()
        else:
            heads = state.zones[draw(st.integers(0, 2))].heads
            heads[draw(st.integers(0, 1)), draw(st.integers(0, C.max_order))] = draw(links)
    return draw(with_other_surroundings(state, pfns))


@st.composite
def with_other_surroundings(draw: st.DrawFn, state: MemoryState, pfns: st.SearchStrategy[int]) -> MemoryState:
    """The same slots, with caches, ranges and knowledge that do not go with them."""
    n_frames = state.n_frames
    some = st.lists(st.integers(-2, n_frames + 2), max_size=4)
    if draw(st.booleans()):
        entries = [(pfn, 0, 0) for pfn in draw(st.lists(st.integers(0, n_frames + 2), max_size=3))]
        state = replace(state, cached=np.concatenate([state.cached, cached_frames(entries)]))
    if draw(st.booleans()):
        known = None if draw(st.booleans()) else np.array(draw(some), dtype=np.int64)
        state = replace(state, quarantined=known)
    if draw(st.booleans()):
        state = replace(state, poisoned_while_free=np.array(draw(some), dtype=np.int64))
    if draw(st.booleans()):
        other = pfn_ranges([(draw(pfns), draw(pfns))])
        state = replace(state, ram=other) if draw(st.booleans()) else replace(state, off_limits=other)
    if draw(st.booleans()):
        at = np.array(draw(some), dtype=np.int64)
        fill = np.arange(len(at), dtype=np.uint64)
        state = replace(state, canary=Canary(at, fill, fill ^ np.uint64(draw(st.integers(0, 1)))))
    return state


@pytest.mark.slow
@given(shapes(), st.data())
def test_any_state_is_judged_as_by_plain_definitions(shape: Shape, data: st.DataObject) -> None:
    healthy = healthy_state(shape)
    report = assert_alike(healthy)
    assert not report.violated, report.text

    state = data.draw(corrupted(healthy))

    assert_alike(state, report.past, plain_past(Plain(healthy)))


def test_frame_with_two_canaries_is_told_by_what_each_of_them_found() -> None:
    healthy = healthy_state(Shape(8, free=1.0, keep=1.0))
    twice, fills = np.array([3, 3], dtype=np.int64), np.array([0, 1], dtype=np.uint64)
    report = assert_alike(replace(healthy, canary=Canary(twice, fills, fills ^ np.uint64(1))))
    assert [one.got for one in report["W-PAYLOAD-CANARY"].violations] == ["0x1", "0x0"]


# ---- one corrupted slot, at each place that a pass over blocks could miss ---------------------------------


def borders(n_frames: int, block: int = BLOCK) -> list[int]:
    """The first and the last slot of the table, those beside each border of blocks, one in the middle."""
    beside = {at + by for at in range(block, n_frames, block) for by in (-1, 0)}
    return sorted({0, n_frames // 2, n_frames - 1} | beside)


N_FRAMES = 4 * BLOCK + 5
HELD, FREE, AWAY, HOLE, RESERVED = MEMORIES = {
    "held": Shape(N_FRAMES, free=0.0, keep=0.0, quarantined=0.0, cached=0.0),
    "free": Shape(N_FRAMES, free=1.0, keep=1.0),
    "quarantined": Shape(N_FRAMES, free=0.0, keep=0.0, quarantined=1.0),
    "hole": Shape(N_FRAMES, holes=((0, N_FRAMES),)),
    "reserved": Shape(N_FRAMES, reserved=((0, N_FRAMES),)),
}
"""Memories of frames of one kind."""


@cache
def memory(kind: str) -> MemoryState:
    return healthy_state(MEMORIES[kind])


FREE_BIT, ALLOCATED, KERNEL = C.flag_free, C.flag_allocated, C.flag_kernel

Edit = tuple[str, int]
"""A field with what is xored to it, or `byte N`."""
CASES: list[tuple[str, Edit, str]] = [
    (HELD, ("order", 1), "HELD-ORDER"),
    (HELD, ("order", 12), "ORDER-RANGE"),
    (HELD, ("flags", ALLOCATED), "ONE-OWNER"),
    (HELD, ("flags", FREE_BIT), "ONE-OWNER"),
    (HELD, ("byte 29", 1), "RESERVED-ZERO"),
    (HELD, ("byte 48", 1), "RESERVED-ZERO"),
    (HELD, ("byte 63", 0x80), "RESERVED-ZERO"),
    (HELD, ("next", 5), "LINK-HEADS-ONLY"),
    (HELD, ("prev", 5), "LINK-IN-TABLE"),
    (HELD, ("generation", 1 << 31), "GENERATION-FORWARD"),
    (FREE, ("refcount", 1), "FREE-REFCOUNT"),
    (FREE, ("refcount", C.refcount_unused), "FREE-REFCOUNT"),
    (FREE, ("vtable", 1 << 63), "FREE-VTABLE"),
    (FREE, ("guard", 1), "FREE-GUARD"),
    (FREE, ("guard", C.guard_poisoned), "FREE-GUARD"),
    (FREE, ("flags", KERNEL), "FREE-FLAGS"),
    (FREE, ("flags", C.flag_movable), "FREE-FLAGS"),
    (FREE, ("flags", HIGH_FLAG), "FREE-FLAGS"),
    (FREE, ("flags", ALLOCATED), "ONE-OWNER"),
    (FREE, ("order", 16), "BLOCK-AGREES"),
    (FREE, ("order", 16), "ORDER-RANGE"),
    (AWAY, ("guard", C.guard_poisoned), "POISON-STAYS"),
    (AWAY, ("generation", 1), "POISON-STAYS"),
    (AWAY, ("refcount", 1), "QUARANTINE"),
    (AWAY, ("next", 1 << 12), "QUARANTINE"),
    *((HOLE, (f"byte {at}", 1), "HOLE-UNTOUCHED") for at in range(64)),
    (HOLE, ("flags", FREE_BIT), "OFF-LIMITS"),
    (HOLE, ("flags", ALLOCATED), "OFF-LIMITS"),
    *((RESERVED, (f"byte {at}", 1), "OFF-LIMITS-UNTOUCHED") for at in (0, 15, 16, 24, 28, 32, 36, 40, 44)),
    (RESERVED, ("flags", FREE_BIT), "OFF-LIMITS"),
]


def edited(state: MemoryState, pfn: int, edit: Edit) -> MemoryState:
    state = state.copied()
    field, bits = edit
    if field.startswith("byte "):
        state.slots[pfn : pfn + 1].view(np.uint8)[int(field.removeprefix("byte "))] ^= bits
    else:
        state.slots[field][pfn] ^= state.slots.dtype[field].type(bits)
    return state


@pytest.mark.parametrize(
    ("kind", "edit", "invariant"),
    CASES,
    ids=[f"{kind}-{edit[0]}-{edit[1]:#x}-{name}" for kind, edit, name in CASES],
)
def test_slot_is_named_wherever_it_lies(kind: str, edit: Edit, invariant: str) -> None:
    state = memory(kind)
    past = judged(state).past
    for pfn in borders(N_FRAMES):
        result = judged(edited(state, pfn, edit), past)[f"W-{invariant}"]
        assert pfn in [violation.pfn for violation in result.violations], (pfn, result.text)


@pytest.mark.parametrize("kind", MEMORIES)
def test_no_slot_of_those_memories_is_named_before_it_is_corrupted(kind: str) -> None:
    report = judged(memory(kind), judged(memory(kind)).past)
    assert not report.violated, report.text


def test_many_corrupted_slots_on_both_sides_of_a_border_are_counted() -> None:
    state = memory(HELD).copied()
    state.slots["order"][BLOCK - 2 : BLOCK + 2] = 1
    result = judged(state)["W-HELD-ORDER"]
    assert [violation.pfn for violation in result.violations] == [BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1]


def test_slots_are_named_beside_the_borders_of_blocks_as_they_are() -> None:
    state = tiled_state(2 * TILE_FRAMES, SLOT)
    assert state.n_frames > 2 * words.BLOCK_SLOTS
    for pfn in borders(state.n_frames, words.BLOCK_SLOTS):
        result = INVARIANTS.check_all(edited(state, pfn, ("byte 48", 1)))["W-RESERVED-ZERO"]
        assert [violation.pfn for violation in result.violations] == [pfn]


@pytest.mark.parametrize("link_none", [C.link_none, C.link_none - 1, 0])
@pytest.mark.parametrize("bits", [1, 1 << 40])
def test_links_are_seen_whatever_stands_for_none(link_none: int, bits: int) -> None:
    state = replace(memory(HELD).copied(), constants=replace(C, link_none=link_none))
    state.slots["next"] = state.slots["prev"] = link_none
    for pfn in borders(N_FRAMES):
        assert_alike(edited(state, pfn, ("prev", bits)))


@pytest.mark.parametrize("wide", ["flag_free", "flag_user"])
def test_flags_beyond_16_bits_are_seen(wide: str) -> None:
    flag = np.uint32(getattr(C, wide))
    state = replace(memory(FREE).copied(), constants=replace(C, **{wide: HIGH_FLAG}))
    flags = state.slots["flags"]
    flags[...] = np.where(flags & flag, (flags & ~flag) | np.uint32(HIGH_FLAG), flags)
    assert not assert_alike(state).violated
    assert_alike(edited(state, BLOCK, ("flags", int(flag))))


@pytest.mark.parametrize("packed", [True, False])
def test_fields_in_any_order_are_judged_alike(packed: bool) -> None:
    names = sorted(SLOT.names or ())
    layout = np.dtype([(name, SLOT[name]) for name in names], align=not packed)
    for state in (memory(HELD), memory(FREE)):
        slots = np.zeros(state.n_frames, dtype=layout)
        for name in names:
            slots[name] = state.slots[name]
        slots["_reserved_tail"][BLOCK, 3] = 9
        slots["guard"][BLOCK + 1] = 9
        slots["prev"][BLOCK - 1] = 0x3000
        assert_alike(replace(state, slots=slots))
