"""Proves that what every core is asked for is asked on maps that are there, and can be written and read."""

from __future__ import annotations

import pytest

from frame_harness.memory_core.basics import BORDER_MAPS, CACHE_MAPS, FREE_MAPS, basics
from frame_harness.memory_core.catalogue import catalogue, large_catalogue
from frame_harness.memory_core.state import KINDS, ZONES
from frame_harness.memory_core.steps import Fill, WrongFree, parsed, require_sense, written
from frame_harness.memory_core.wrong_frees import WRONG_FREES

MIB = 1 << 20


def test_their_maps_are_in_the_catalogue() -> None:
    maps = (*catalogue(4 * MIB, 64 * MIB), *large_catalogue(4 * MIB, 1 << 30))
    assert {*BORDER_MAPS, *CACHE_MAPS, *FREE_MAPS} <= {one.name for one in maps}


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:1]])
def test_every_zone_kind_and_wrong_free_is_asked_for_in_words_that_are_read(kinds: tuple[str, ...]) -> None:
    cases = [case for name in (BORDER_MAPS[0], CACHE_MAPS[0], FREE_MAPS[0]) for case in basics(name, kinds)]
    steps = [step for case in cases for step in case]
    fills = [step for step in steps if isinstance(step, Fill)]
    assert {step.zone for step in fills} == {"any", *ZONES} and {step.kind for step in fills} == {*kinds}
    assert {step.how for step in steps if isinstance(step, WrongFree)} == {*WRONG_FREES}
    for case in cases:
        assert parsed(written(case)) == case
        require_sense(case)


def test_nothing_is_asked_on_other_maps() -> None:
    assert list(basics("a PC's map", KINDS)) == []
