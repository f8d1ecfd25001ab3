"""Histories are shortened to the steps that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from frame_harness.frame_histories.attribution import Blame
from frame_harness.frame_histories.commands import Op, Recipe
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.history import HistoryFailure
from frame_harness.frame_histories.steps import Got, Step
from frame_harness.histories.shrink import shrink
from frame_harness.steering.campaign import Cause


def failure(clause: str, steps: Sequence[Step]) -> HistoryFailure:
    difference = HistoryDifference("slot", "", "", "")
    return HistoryFailure(Blame(clause, "", frozenset()), difference, tuple(steps), (), Look.AT_THE_END)


def test_history_is_shortened_to_the_steps_that_it_takes() -> None:
    """It takes an allocation, then its release; anything else is ballast."""
    history = [Step(number, Op.ALLOC, (Recipe("new", (bool(number % 2),)),)) for number in range(40)]
    history[30] = Step(30, Op.RELEASE, (Got(7, 3), 0))

    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        known: set[int] = set()
        for at, step in enumerate(steps):
            if step.op is Op.RELEASE and 7 in known:
                return failure("X", steps[: at + 1])
            known.add(step.number)
        return None

    first = play(history)
    assert first is not None
    shortest = (Step(7, Op.ALLOC, (Recipe(),)), Step(30, Op.RELEASE, (Got(7), 0)))
    assert shrink(first, play, attrgetter("clause")).steps == shortest


def test_shortening_keeps_to_the_clause_it_began_with() -> None:
    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        return failure("A" if len(steps) > 3 else "B", steps) if steps else None

    first = play([Step(number, Op.ALLOC, (Recipe(),)) for number in range(9)])
    assert first is not None
    assert len(shrink(first, play, attrgetter("clause")).steps) == 4


def test_shortening_keeps_to_the_cause_where_that_is_its_key() -> None:
    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        if len(steps) > 5:
            return failure("A", steps)
        other = HistoryDifference("payload", "", "", "")
        return replace(failure("A", steps), difference=other) if steps else None

    first = play([Step(number, Op.ALLOC, (Recipe(),)) for number in range(9)])
    assert first is not None
    assert len(shrink(first, play, attrgetter("clause")).steps) == 1
    shortest = shrink(first, play, Cause.of)
    assert (len(shortest.steps), shortest.difference.kind) == (6, "slot")


def test_no_history_is_played_twice_while_one_is_shortened() -> None:
    played: list[tuple[Step, ...]] = []

    def play(steps: Sequence[Step]) -> HistoryFailure | None:
        played.append(tuple(steps))
        return failure("A", steps) if sum(step.op is Op.RELEASE for step in steps) > 2 else None

    release = [Step(number, Op.RELEASE, (Got(number, 3), 0)) for number in range(6)]
    allocate = [Step(number, Op.ALLOC, (Recipe("new", (True,)),)) for number in range(6, 9)]
    first = play([*release, *allocate])
    assert first is not None
    assert len(shrink(first, play, attrgetter("clause")).steps) == 3
    assert len(set(played[1:])) == len(played[1:])
