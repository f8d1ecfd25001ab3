"""Many requests of one sort become one that takes all there is, where that shows the same fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.filling import MANY, filled
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.steps import CaseStep, parsed

FAULT = CoreViolation("CORE-09", "a block", "one", "none", cause="here")
MAP = "0x0..0x9000 free"


def case(*operations: str) -> tuple[CaseStep, ...]:
    return tuple(parsed("; ".join((MAP, *operations))))


def failure(*operations: str) -> Failure:
    return Failure(case(*operations), FAULT, "allocate")


def blocks(count: int, sort: str = "0 unmovable any", name: str = "b") -> list[str]:
    return [f"{name}{number} = alloc {sort}" for number in range(count)]


class Player:
    """Plays every case; shows a fault in those that have one request for all there is."""

    def __init__(self, *shown: CoreViolation | None) -> None:
        self._shown, self.played = list(shown), list[tuple[str, ...]]()

    def __call__(self, steps: Sequence[CaseStep]) -> Failure | None:
        self.played.append(tuple(map(str, steps)))
        violation = self._shown.pop(0)
        return None if violation is None else Failure(tuple(steps), violation, "allocate")


def test_one_request_takes_the_place_of_the_first_of_many() -> None:
    before = failure("a = alloc 3 movable any", *blocks(MANY), "free a")
    found = filled(before, Player(FAULT))
    assert found.steps == case("a = alloc 3 movable any", "b0 = fill 0 unmovable any", "free a")


def test_what_is_done_with_one_of_the_many_is_done_with_the_last_of_them_or_left_out() -> None:
    before = failure(
        *blocks(MANY),
        "free b0",
        "free b3",
        "poison b0",
        "poison b4",
        "wrongly free again b5",
        "wrongly free again b0",
    )
    found = filled(before, Player(FAULT))
    assert found.steps == case(
        "b0 = fill 0 unmovable any",
        "free one of b0",
        "free one of b0",
        "poison b0",
        "wrongly free again b0",
    )


def test_too_few_of_one_sort_are_left_as_they_are() -> None:
    before = failure(*blocks(MANY - 1), *blocks(MANY - 1, "1 unmovable any", "c"))
    player = Player()
    assert filled(before, player) is before
    assert player.played == []


def test_sorts_are_tried_from_the_most_frequent_on_until_one_shows_the_fault() -> None:
    before = failure(
        *blocks(MANY), *blocks(MANY + 1, "0 movable any", "m"), *blocks(MANY - 1, "2 movable any", "f")
    )
    player = Player(None, FAULT)
    found = filled(before, player)
    assert [sum("fill" in step for step in steps) for steps in player.played] == [1, 1]
    assert "m0 = fill 0 movable any" in player.played[0]
    assert "b0 = fill 0 unmovable any" in map(str, found.steps)
    assert sum("alloc 0 movable" in str(step) for step in found.steps) == MANY + 1


@pytest.mark.parametrize("other", [replace(FAULT, clause="CORE-15"), replace(FAULT, cause="there")])
def test_another_fault_does_not_count(other: CoreViolation) -> None:
    before = failure(*blocks(MANY))
    assert filled(before, Player(other)) is before
