"""Every invariant holds on healthy states and fires on the corruptions that it should, alone."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from frame_harness.contract.invariant import InvariantStatus
from frame_harness.frame_histories.corruption_table import CORRUPTIONS
from frame_harness.frame_histories.corruptions import Corruption
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Columns
from frame_harness.frame_metadata.invariants.frames import Frames
from frame_harness.frame_metadata.invariants.lists import NO_FRAME, NOWHERE, FreeLists
from frame_harness.frame_metadata.invariants.sweep import sweep
from frame_harness.frame_metadata.memory_state import MemoryStateError, pfn_ranges
from tests.support.scene import MadeUp, healthy
from tests.support.synthetic import LARGEST, Shape, healthy_state

NONE = C.link_none


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_corruption_is_noticed_by_exactly_the_invariants_that_should(corruption: Corruption) -> None:
    _, past = healthy()
    scene = MadeUp.fresh()
    corruption.edit(scene)

    report = INVARIANTS.check_all(scene.judged(), past)

    assert corruption.explains(report.violated), report.text


def test_kernel_image_over_a_listed_block_is_noticed() -> None:
    state, past = healthy()
    pfn = MadeUp.fresh().pfns["listed"]
    grown = pfn_ranges([*map(tuple, state.off_limits.tolist()), (pfn, pfn + 1)])

    report = INVARIANTS.check_all(replace(state, off_limits=grown), past)

    assert report.violated == {"W-OFF-LIMITS", "W-OFF-LIMITS-UNTOUCHED", "W-ACCOUNT-RECOUNT"}, report.text


def test_every_invariant_is_proved_able_to_fail() -> None:
    assert frozenset(INVARIANTS) == frozenset().union(*(corruption.fires for corruption in CORRUPTIONS))


def test_healthy_state_holds_every_invariant() -> None:
    state, past = healthy()

    report = INVARIANTS.check_all(state, past)

    assert report.held == frozenset(INVARIANTS), report.text


def test_invariants_name_clauses_of_the_contract_and_their_blind_spots() -> None:
    known = frozenset(CLAUSES)
    for invariant in INVARIANTS.values():
        assert frozenset(invariant.clauses) <= known
        assert invariant.holds
        assert invariant.blind_to


def test_every_whole_memory_clause_has_an_invariant() -> None:
    served = frozenset(name for invariant in INVARIANTS.values() for name in invariant.clauses)
    whole_memory = frozenset(clause.id for clause in CLAUSES.values() if "W" in clause.kind)
    assert whole_memory <= served


def test_nothing_evaluated_is_never_held() -> None:
    state, _ = healthy()

    report = INVARIANTS.check_all(replace(state, canary=None, quarantined=None))

    assert report.not_evaluated == {
        "W-PAYLOAD-CANARY",
        "W-QUARANTINE",
        "W-GENERATION-FORWARD",
        "W-POISON-STAYS",
    }
    assert report["W-PAYLOAD-CANARY"].outcome is InvariantStatus.NOT_EVALUATED


def test_empty_slot_table_holds_nothing() -> None:
    state, _ = healthy()
    heads = np.full((2, C.max_order + 1), NONE, dtype=np.uint64)
    zones = tuple(replace(zone, heads=heads) for zone in state.zones)
    empty = replace(state, slots=state.slots[:0], zones=zones, cached=state.cached[:0], ram=state.ram[:0])

    report = INVARIANTS.check_all(empty)

    assert "W-FREE-REFCOUNT" in report.not_evaluated
    assert "W-LIST-REACHES-ONCE" in report.not_evaluated


def test_violations_are_five_at_most_with_a_count_of_the_rest() -> None:
    scene = MadeUp.fresh()
    free = np.flatnonzero(scene.slots["flags"] & C.flag_free)[:40]
    scene.slots["refcount"][free] = 3

    result = INVARIANTS.check_all(scene.judged())["W-FREE-REFCOUNT"]

    assert (result.total, len(result.violations)) == (40, 5)
    assert result.violations[0].text == (
        f"W-FREE-REFCOUNT: pfn {free[0]:#x} refcount: expected 0xffffffff, got 0x3"
    )
    assert result.text.endswith("and 35 more")


def test_columns_go_with_their_last_user() -> None:
    """A cycle of references would keep the arrays of many checks until some garbage collection."""
    columns = Columns(healthy()[0])
    for invariant in INVARIANTS.values():
        invariant.judge(columns)
    watched = weakref.ref(columns)
    gc.disable()
    try:
        del columns
        assert watched() is None
    finally:
        gc.enable()


def test_generation_may_wrap_to_zero() -> None:
    before, after = MadeUp.fresh(), MadeUp.fresh()
    before.slots["generation"][before.pfns["held"]] = 2**32 - 1
    after.slots["generation"][after.pfns["held"]] = 0

    assert "W-GENERATION-FORWARD" in INVARIANTS.check_all(after.judged(), before.judged()).held


def test_frames_poisoned_while_free_are_excused_by_name_alone() -> None:
    scene = MadeUp.fresh()
    pfn = scene.pfns["listed"]
    scene.slots["guard"][pfn] = C.guard_poisoned
    scene.slots["flags"][pfn] |= C.flag_poisoned
    excused = replace(scene.judged(), poisoned_while_free=np.array([pfn]))

    assert INVARIANTS.check_all(scene.judged()).violated == {"W-FREE-GUARD", "W-FREE-FLAGS"}
    assert not INVARIANTS.check_all(excused).violated


def test_frame_poisoned_while_free_must_not_come_back_healed() -> None:
    before, after = MadeUp.fresh(), MadeUp.fresh()
    pfn = before.pfns["cached"]
    before.slots["guard"][pfn] = C.guard_poisoned
    after.slots["generation"][pfn] += 1

    assert "W-POISON-STAYS" in INVARIANTS.check_all(after.judged(), before.judged()).violated


def test_canary_ignores_frames_that_were_handed_out_since() -> None:
    scene = MadeUp.fresh()
    scene.payload[8] ^= 1
    scene.slots["flags"][scene.pfns["listed"]] ^= C.flag_free

    assert "W-PAYLOAD-CANARY" in INVARIANTS.check_all(scene.judged()).held


def test_state_refuses_a_slot_table_without_a_field() -> None:
    state, _ = healthy()
    fewer = state.slots[["next", "prev"]]
    with pytest.raises(MemoryStateError, match="refcount"):
        replace(state, slots=fewer)


def test_state_refuses_zones_with_another_number_of_orders() -> None:
    state, _ = healthy()
    zone = replace(state.zones[0], heads=state.zones[0].heads[:, :5])
    with pytest.raises(MemoryStateError, match="heads"):
        replace(state, zones=(zone,))


def test_fields_are_found_by_name_in_any_layout() -> None:
    state, past = healthy()
    names = list(reversed(state.slots.dtype.names or ()))
    reversed_layout = np.dtype([(name, state.slots.dtype[name]) for name in names])
    slots = np.empty(state.n_frames, dtype=reversed_layout)
    for name in names:
        slots[name] = state.slots[name]

    assert INVARIANTS.check_all(replace(state, slots=slots), past).held == frozenset(INVARIANTS)


def test_fragmented_memory_of_single_frames_is_healthy() -> None:
    assert not INVARIANTS.check_all(
        healthy_state(Shape(8 * LARGEST, keep=0.0, zone_ends=(LARGEST, 4 * LARGEST)))
    ).violated


def test_links_between_slots_that_are_no_ram_are_judged_like_others() -> None:
    """A slot is asked where it leads back to, whether or not its frame is one that lists may be made of."""
    state = healthy_state(Shape(8 * LARGEST, keep=0.0, zone_ends=(LARGEST, 4 * LARGEST)))
    shorter = replace(state, ram=pfn_ranges([(0, 3)]))
    assert "W-LINK-SYMMETRIC" in INVARIANTS.check_all(shorter).held

    led_to = next(int(link) for link in state.slots["next"][:3] if link != NONE) >> 12
    assert led_to >= 3
    broken = shorter.copied()
    broken.slots["prev"][led_to] = NONE
    assert "W-LINK-SYMMETRIC" in INVARIANTS.check_all(broken).violated


def test_what_a_pass_over_the_slots_counts_is_what_they_say() -> None:
    frames = Frames(healthy_state(Shape(1 << 14)))
    swept = sweep(frames)
    free = frames.state.slots["flags"] & np.uint32(C.flag_free) != 0
    assert np.array_equal(swept.free, free)
    assert swept.n_free == np.count_nonzero(free & frames.in_ram)
    lists = FreeLists(frames, swept)
    wild = np.array([NONE, 0x1000, 0x1001, 1 << 60], dtype=np.uint64)
    assert lists.decode(wild).tolist() == [NO_FRAME, 1, NOWHERE, NOWHERE]
