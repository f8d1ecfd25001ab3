"""The model goes on from a guest's memory, and the two are compared field by field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Pfn, pfn_to_paddr
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    USER_DATA,
    AllocOptions,
    Done,
    ExpectedTable,
    Fail,
    Model,
    ModelResult,
    frames_of_map,
    model_of,
)
from tests.support.just_booted import (
    GIVEN,
    VTABLES,
    assert_healthy,
    just_booted,
    paddr_of,
    state_of,
)
from tests.support.synthetic import SLOT

MOVABLE, UNMOVABLE = Migratetype.MOVABLE, Migratetype.UNMOVABLE


@pytest.fixture
def model() -> Model:
    return just_booted()


def test_memory_map_gives_the_buddy_whole_frames_of_ram() -> None:
    ram, given = frames_of_map(
        [
            (Paddr(0x0), Paddr(0x1000), "boot"),
            (Paddr(0x1000), Paddr(0x9FC00), "ram"),
            (Paddr(0x9FC00), Paddr(0xA0000), "reserved"),
            (Paddr(0x100000), Paddr(0x180800), "kernel"),
            (Paddr(0x180800), Paddr(0x200000), "ram"),
            (Paddr(0x200000), Paddr(0x300000), "ram"),
            (Paddr(0x300000), Paddr(0x300800), "ram"),
            (Paddr(0x400000), Paddr(0x400000), "ram"),
        ]
    )
    assert ram == [range(0xA0), range(0x100, 0x301)]
    assert given == [range(1, 0x9F), range(0x181, 0x300)]


def test_model_of_a_state_goes_on_where_it_was_taken(model: Model) -> None:
    for order in (0, 3, 1, 0):
        model.buddy_alloc(order, MOVABLE)
    model.mark_poisoned(paddr_of(model.alloc()))
    twin = model_of(state_of(model), GIVEN, vtables=VTABLES)

    for kernel in (model, twin):
        kernel.alloc_all()

    assert twin.slots.written() == model.slots.written()
    assert twin.buddy.zones[1].heads == model.buddy.zones[1].heads


def test_copied_model_is_independent(model: Model) -> None:
    copy = model.copied()
    before = dict(model.slots.written())
    copy.alloc()
    assert model.slots.written() == before
    assert model.buddy.cached_frames() == []
    assert_healthy(model)
    assert_healthy(copy)


def test_comparison_names_the_field_that_is_not_as_predicted(model: Model) -> None:
    table = ExpectedTable(model, SLOT)
    model.alloc(chosen=Paddr(100 << 12))
    table.follow()
    guest = table.slots.copy()
    assert not table.compare(guest)

    guest["guard"][100] = 1
    guest["_reserved_tail"][200, 1] = 2
    differences = table.compare(guest)

    assert differences.total_slots == 2
    assert differences.text == (
        "slot: pfn 0x64 guard: expected 0x0, got 0x1\nslot: pfn 0xc8 _reserved_tail: expected 0x0, got 0x200"
    )


def test_comparison_follows_every_operation(model: Model) -> None:
    table = ExpectedTable(model, SLOT)
    model.alloc_all()
    assert len(table.follow()) == sum(map(len, GIVEN))
    assert np.count_nonzero(table.slots["refcount"] == 1) == sum(map(len, GIVEN))


def one_by_one(model: Model, options: AllocOptions) -> ModelResult:
    count = 0
    while isinstance(outcome := model.alloc(options), Done):
        count += 1
    return Done({"n": count}) if isinstance(outcome, Fail) else outcome


@pytest.mark.parametrize("options", [AllocOptions(), AllocOptions((USER_DATA, False))])
@pytest.mark.parametrize("poisoned", [0, 1, 2])
@pytest.mark.parametrize("orderly", [True, False])
def test_all_frames_at_once_are_the_same_as_one_after_the_other(
    model: Model, options: AllocOptions, poisoned: int, orderly: bool
) -> None:
    for order in (0, 0, 3, 11, 0):
        paddr = paddr_of(model.buddy_alloc(order, MOVABLE if order else UNMOVABLE))
        model.release(paddr, order)
    model.alloc(options)
    for pfns in list(model.buddy.listed().values())[:poisoned]:
        model.mark_poisoned(pfn_to_paddr(Pfn(pfns[0] + 1)))
    model.set_generation(Paddr(model.buddy.cached_frames()[0][0] << 12), 2**32 - 1)
    ours, theirs = model.copied(), model.copied()
    assert model.buddy.free_frames(orderly=orderly) is not None
    assert ours.alloc_all(options, orderly=orderly) == one_by_one(theirs, options)
    assert ours.slots == theirs.slots
    assert ours.slots.touched == theirs.slots.touched
    assert (ours.payload, ours.hook_calls) == (theirs.payload, theirs.hook_calls)
    assert ours.buddy.quarantined == theirs.buddy.quarantined
    assert ours.buddy.caches == theirs.buddy.caches
    assert ours.buddy.zones == [replace(zone, slots=ours.slots) for zone in theirs.buddy.zones]
    # And the lists work as before.
    for twin in (ours, theirs):
        twin.release(Paddr(0x5000), 0)
    assert ours.alloc(options) == theirs.alloc(options) == Done({"paddr": 0x5000})


def spoil_link(model: Model, listed: Paddr, _cached: Paddr) -> None:
    model.set_next(listed, 0x7000)


def spoil_count(model: Model, listed: Paddr, _cached: Paddr) -> None:
    model.set_refcount(listed, 1)


def spoil_order_of_cached(model: Model, _listed: Paddr, cached: Paddr) -> None:
    model.set_order(cached, 3)


def arm_a_fault(model: Model, _listed: Paddr, _cached: Paddr) -> None:
    model.buddy.faults.refusals = 1


def say_free_of_one_that_is_held(model: Model, listed: Paddr, _cached: Paddr) -> None:
    held = paddr_of(model.buddy_alloc(0, UNMOVABLE))
    model.set_flags(held, C.flag_free)


@pytest.mark.parametrize(
    "spoil",
    [spoil_link, spoil_count, spoil_order_of_cached, arm_a_fault, say_free_of_one_that_is_held],
)
def test_frames_that_something_is_wrong_with_are_asked_for_one_by_one(
    model: Model, spoil: Callable[[Model, int, int], None]
) -> None:
    model.buddy_alloc(0, UNMOVABLE)
    [listed, *_] = [pfns[0] << 12 for pfns in model.buddy.listed().values()]
    cached = model.buddy.cached_frames()[0][0] << 12
    assert model.buddy.free_frames(orderly=False) is not None
    spoil(model, listed, cached)
    assert model.buddy.free_frames(orderly=False) is None
