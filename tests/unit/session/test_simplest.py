"""Of each fault the check that a report shows is the one whose commands are played again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.evidence import CheckResult, Level, Outcome, RunKey
from frame_harness.judge.findings import CauseFinder
from frame_harness.session.simplest import SimplestShown

DEV, RELEASE = (RunKey(machine="microvm", profile=profile) for profile in ("dev", "release"))
Q35 = RunKey(machine="q35", profile="dev")
RUNS = (DEV, RELEASE, Q35)


def broken(name: str, *clauses: str, run: RunKey = DEV, **changes: Any) -> CheckResult:
    return CheckResult(
        check=name, clauses=clauses, breaks=clauses, run=run, outcome=Outcome.VIOLATED, duration_s=0.1,
        message="seen", **changes,
    )  # fmt: skip


def shown() -> SimplestShown:
    return SimplestShown(FRAME_METADATA, RUNS)


def played(simplest: SimplestShown, *results: CheckResult, number: int = 1) -> bool:
    if simplest.in_place_of(results, number):
        return False
    simplest.add(results, number)
    return True


HISTORY = broken("history", "REF-01", level=Level.HISTORY)
CALL = broken("call", "REF-01", level=Level.CALL)


def test_a_simpler_check_of_the_same_fault_is_shown_in_place_of_an_involved_one() -> None:
    simplest = shown()
    assert played(simplest, HISTORY) and played(simplest, CALL, number=2)
    assert simplest.in_place_of([HISTORY], 3) == "call"


@pytest.mark.parametrize(
    "other",
    [
        broken("x", "REF-02", level=Level.HISTORY),
        broken("x", "REF-01", "REF-02", level=Level.HISTORY),
        broken("x", "REF-01", level=Level.HISTORY, cause="another fault"),
        broken("x", "REF-01", level=Level.HISTORY, run=RELEASE),
        broken("x", "REF-01", level=Level.HISTORY, frame=0x1000),
    ],
    ids=["of another clause", "of another clause, too", "of another fault", "in another build", "on a frame"],
)
def test_what_another_fault_or_build_shows_or_has_more_pictures_is_played(other: CheckResult) -> None:
    simplest = shown()
    assert played(simplest, CALL) and played(simplest, other, number=2)


def test_on_other_machines_the_same_is_not_played_again() -> None:
    simplest = shown()
    assert played(simplest, CALL)
    assert not played(simplest, broken("call", "REF-01", level=Level.CALL, run=Q35), number=9)


def test_what_was_met_on_the_way_counts_for_its_own_clause() -> None:
    simplest = shown()
    assert played(simplest, CALL)
    assert played(simplest, CALL, broken("on-the-way", "FREE-01", incidental=True), number=2)
    assert not played(simplest, CALL, broken("on-the-way", "FREE-01", incidental=True), number=3)


def test_a_check_that_broke_off_without_a_clause_is_always_played() -> None:
    error = CheckResult(
        check="x", clauses=("REF-01",), run=DEV, outcome=Outcome.ERROR, duration_s=0.1, message=""
    )
    simplest = shown()
    assert played(simplest, CALL) and played(simplest, error) and played(simplest, error, number=2)


def orders() -> Iterator[tuple[tuple[int, CheckResult], ...]]:
    results = (
        HISTORY, CALL, broken("later", "REF-01", level=Level.CALL), broken("call", "REF-01", run=Q35),
        broken("vague", "REF-01", level=Level.CALL, incidental=True),
    )  # fmt: skip
    yield from permutations(enumerate(results, start=1))


def test_in_whatever_order_checks_end_the_one_that_the_report_shows_was_played() -> None:
    for order in orders():
        simplest = shown()
        ran = {result for number, result in order if played(simplest, result, number=number)}
        planned = [result for _, result in sorted(order, key=lambda one: one[0])]
        assert CauseFinder(FRAME_METADATA, RUNS).simplest_first(planned)[0] in ran
