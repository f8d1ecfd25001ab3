"""Proves that what every core is asked for is asked on maps that are there, and can be written and read."""

from __future__ import annotations

from collections import Counter

import pytest

from frame_harness.memory_core.basics import (
    BORDER_MAPS,
    CACHE_MAPS,
    FREE_MAPS,
    HIGH_MAPS,
    ISLAND_MAPS,
    NO_ORDERS,
    PAIRS,
    WHOLE_MAPS,
    basics,
)
from frame_harness.memory_core.catalogue import NORMAL_END, PCI_HOLE, catalogue, large_catalogue
from frame_harness.memory_core.state import KINDS, MAX_ORDER, ZONES
from frame_harness.memory_core.steps import (
    POISON_PLACES,
    Alloc,
    Fill,
    Free,
    Poison,
    PoisonFree,
    WrongFree,
    parsed,
    require_sense,
    written,
)
from frame_harness.memory_core.wrong_frees import WRONG_FREES

ALL = {"kinds": True, "poison": True, "ownership": True}

MIB = 1 << 20


def test_their_maps_are_in_the_catalogue() -> None:
    maps = (*catalogue(4 * MIB, 64 * MIB), *large_catalogue(4 * MIB, 6 << 30))
    named = {*BORDER_MAPS, *CACHE_MAPS, *FREE_MAPS, *HIGH_MAPS, *ISLAND_MAPS, *WHOLE_MAPS}
    assert named <= {one.name for one in maps}


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:1]])
def test_every_zone_kind_and_wrong_free_is_asked_for_in_words_that_are_read(kinds: tuple[str, ...]) -> None:
    cases = [
        case
        for name in (BORDER_MAPS[0], CACHE_MAPS[0], FREE_MAPS[0], HIGH_MAPS[0])
        for case in basics(name, {**ALL, "kinds": len(kinds) > 1})
    ]
    steps = [step for case in cases for step in case]
    fills = [step for step in steps if isinstance(step, Fill)]
    assert {step.zone for step in fills} == {"any", *ZONES} and {step.kind for step in fills} == {*kinds}
    assert {step.how for step in steps if isinstance(step, WrongFree)} == {*WRONG_FREES}
    for case in cases:
        assert parsed(written(case)) == case
        require_sense(case)


@pytest.mark.parametrize("poison", [True, False])
def test_blocks_of_each_order_are_split_merged_and_where_there_is_poison_poisoned(poison: bool) -> None:
    cases = list(basics(WHOLE_MAPS[0], {**ALL, "poison": poison}))
    steps = [step for case in cases for step in case]
    counts = Counter(step.order for step in steps if isinstance(step, Alloc) and step.name in PAIRS)
    assert all(counts[order] >= 3 * len(PAIRS) for order in range(MAX_ORDER + 1))
    poisoned = Counter(step.place for step in steps if isinstance(step, Poison))
    assert poisoned == (dict.fromkeys(POISON_PLACES, MAX_ORDER + 1) if poison else {})
    free = {step.where for step in steps if isinstance(step, PoisonFree)}
    assert free == ({"inside", "middle", "largest", "cached"} if poison else set())


def test_each_order_that_no_core_has_is_asked_for() -> None:
    asked = [step for case in basics(FREE_MAPS[0], ALL) for step in case if isinstance(step, Alloc)]
    assert {*NO_ORDERS} <= {step.order for step in asked}


def test_memory_above_4_gib_is_split_and_merged_where_nothing_else_can_be_given() -> None:
    [memory] = [one for one in large_catalogue(4 * MIB, 6 << 30) if one.name in HIGH_MAPS]
    high = [first for first, end in memory.usable if end > NORMAL_END]
    assert high and min(high) >= PCI_HOLE[1]
    [case, whole] = basics(memory.name, {**ALL, "ownership": False})
    assert any(isinstance(step, Fill) and step.zone == ZONES[-1] for step in whole)
    assert any(isinstance(step, Alloc) and step.zone == ZONES[-1] and step.order > 0 for step in case)
    assert {step.name for step in case if isinstance(step, Alloc)} == {
        step.name for step in case if isinstance(step, Free)
    }


def test_nothing_is_asked_on_other_maps() -> None:
    assert list(basics("a PC's map", ALL)) == []
