"""Of each fault the check that a report shows is the one whose commands are played again."""

from __future__ import annotations

from itertools import permutations
from typing import Any, cast

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report.memory import NOTHING
from frame_harness.html_report.page import _Builder
from frame_harness.judge.evidence import CheckResult, Level, Outcome, RunKey
from frame_harness.judge.findings import CauseFinder, Finding
from frame_harness.session.seen import Met, SessionSeen
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
    return SimplestShown(FRAME_METADATA)


def played(simplest: SimplestShown, *results: CheckResult, number: int = 1) -> bool:
    if simplest.in_place_of(results, number):
        return False
    simplest.add(results, number)
    return True


LEVELS = {2: Level.HISTORY, 3: Level.CALL}
HISTORY = broken("history", "REF-01", level=Level.HISTORY)
CALL = broken("call", "REF-01", level=Level.CALL)


def test_a_simpler_check_of_the_same_fault_is_shown_in_place_of_an_involved_one() -> None:
    simplest = shown()
    assert played(simplest, HISTORY) and played(simplest, CALL, number=2)
    assert simplest.in_place_of([HISTORY], 3) == ("call",)


@pytest.mark.parametrize(
    "other",
    [
        broken("x", "REF-02", level=Level.HISTORY),
        broken("x", "REF-01", "REF-02", level=Level.HISTORY),
        broken("x", "REF-01", level=Level.HISTORY, cause="another fault"),
        broken("x", "REF-01", level=Level.HISTORY, run=RELEASE),
        broken("x", "REF-01", level=Level.HISTORY, frame=0x1000),
        broken("x", "REF-01", level=Level.HISTORY, frame=0x1000, field="refcount"),
    ],
    ids=["of another clause", "of another, too", "of another fault", "in another build", "life", "slot"],
)
def test_what_another_fault_or_build_shows_or_has_more_pictures_is_played(other: CheckResult) -> None:
    simplest = shown()
    assert played(simplest, CALL) and played(simplest, other, number=2)


def test_each_run_has_a_check_of_its_own_that_is_played() -> None:
    simplest = shown()
    assert played(simplest, CALL)
    q35 = broken("call", "REF-01", level=Level.CALL, run=Q35)
    assert played(simplest, q35, number=9) and not played(simplest, q35, number=10)


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


PLANNED = (
    HISTORY,
    CALL,
    broken("later", "REF-01", level=Level.CALL),
    broken("call", "REF-01", run=Q35),
    broken("life", "REF-01", level=Level.SEQUENCE, frame=0x1000),
    broken("slot", "REF-01", level=Level.MEMORY, frame=0x1000, field="refcount"),
)


def test_in_whatever_order_checks_end_the_one_that_a_report_shows_was_played() -> None:
    simplest_first = CauseFinder(FRAME_METADATA, RUNS).simplest_first(PLANNED)
    finding = Finding(clause="REF-01", title="", where="", results=simplest_first)
    lead = (
        _Builder(FRAME_METADATA, {one.key: NOTHING for one in PLANNED}, {}).finding(finding, 1).first.result
    )
    assert (simplest_first[0].check, lead.check) == ("call", "slot")
    for order in permutations(enumerate(PLANNED, start=1)):
        simplest = shown()
        ran = [result for number, result in order if played(simplest, result, number=number)]
        assert simplest_first[0] in ran and lead in ran


def test_what_evidence_keeps_of_what_was_met_on_the_way_was_played() -> None:
    """That is what the first check in the plan met: what others met is no reason to leave a check out."""
    met = {number: broken("on-the-way", "REF-01", level=level) for number, level in LEVELS.items()}
    told = {
        2: (broken("a", "REF-03"), met[2]),
        3: (broken("b", "REF-03"), met[3]),
        9: (broken("c", "REF-01", level=Level.SEQUENCE),),
    }
    for order in permutations(told):
        simplest, evidence = shown(), SessionSeen(cast("Any", None), "")
        ran = [number for number in order if played(simplest, *told[number], number=number)]
        for number in order:
            for one in told[number][1:]:
                evidence.take_on_the_way(Met(number=number, result=one))
        [kept] = evidence.on_the_way.values()
        assert kept.number == 2 and 2 in ran and 9 in ran, (order, ran)


def test_checks_that_were_played_for_each_fault_are_named_once() -> None:
    simplest = shown()
    both = broken("both", "REF-01", "REF-02", level=Level.CALL)
    assert played(simplest, both) and played(simplest, broken("third", "REF-03"), number=2)
    again = broken("again", "REF-01", "REF-02", "REF-03", level=Level.HISTORY)
    assert simplest.in_place_of([again], 3) == ("both", "third")
