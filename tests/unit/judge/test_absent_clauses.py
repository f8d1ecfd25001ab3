"""A clause is out of a version only for want of a name that it speaks of itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, PlannedCheck, Source
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.verdict import judge as judge_by
from frame_harness.memory_core.contract import MEMORY_CORE
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import DEV, healthy

HERE, THERE, BROKEN = "CONST-01", "CONST-03", "ALLOC-07"
NAME = "meta_guard"
"""What `THERE` speaks of."""


def seen(*results: CheckResult) -> Evidence:
    """What one run of a version without `NAME` saw."""
    evidence = healthy()
    return replace(
        evidence,
        planned_runs=(DEV,),
        runs=evidence.runs[:1],
        plan=tuple(PlannedCheck(run=one.run, check=one.check, clauses=one.clauses) for one in results),
        checks=results,
        lacks=(NAME,),
    )


def result(outcome: Outcome, *clauses: str, **facts: object) -> CheckResult:
    if outcome is Outcome.ABSENT:
        facts = {"lacks": (NAME,), "message": "not there", **facts}
    name = f"test_x.py::test_{outcome}_{'_'.join(clauses)}"
    return CheckResult(check=name, clauses=clauses, run=DEV, outcome=outcome, duration_s=0, **facts)  # type: ignore[arg-type]


def test_the_clauses_differ_in_what_they_speak_of() -> None:
    names = [FRAME_METADATA.versions.of_clause(id_) for id_ in (HERE, THERE, BROKEN)]
    assert names == [(), (NAME,), ()]


def test_a_check_that_is_absent_takes_no_clause_out_of_a_version_that_lacks_nothing_of_it() -> None:
    evidence = seen(result(Outcome.ABSENT, HERE, THERE), result(Outcome.PASSED, BROKEN))
    verdict = judge(evidence, required=(HERE, THERE, BROKEN))
    assert (verdict.kind, [one.clause for one in verdict.reasons]) == (VerdictKind.NO_TESTS, [HERE])
    assert (verdict.clauses[THERE].lacks, verdict.clauses[HERE].lacks) == ((NAME,), ())
    assert verdict.clauses[HERE].message == "no check of it can be made in this version: not there"
    looked = replace(evidence, checks=(*evidence.checks, result(Outcome.PASSED, HERE)))
    plan = PlannedCheck(run=DEV, check=looked.checks[-1].check, clauses=(HERE,))
    whole = judge(replace(looked, plan=(*evidence.plan, plan)), required=(HERE, THERE, BROKEN))
    assert (whole.kind, whole.clauses[HERE].outcome) == (VerdictKind.PASS, ClauseOutcome.HELD)


def test_an_absent_check_does_not_excuse_one_that_a_known_finding_hindered() -> None:
    evidence = seen(
        result(Outcome.ABSENT, HERE, THERE),
        result(Outcome.SKIPPED, HERE, hindered_by=BROKEN, message="it is broken"),
        result(Outcome.VIOLATED, BROKEN, source=Source.ON_THE_WAY),
    )
    known = known_findings(f'[[finding]]\nid = "{BROKEN}"\nreason = "known"\n')
    verdict = judge(evidence, known)
    assert (verdict.kind, [one.clause for one in verdict.reasons]) == (VerdictKind.NO_TESTS, [HERE, ""])
    assert (verdict.reasons[1].code, verdict.clauses[HERE].lacks) == ("all-skipped", ())


@pytest.mark.parametrize("ids", [(), (HERE, THERE), (HERE,)])
def test_clauses_are_out_of_a_version_together_where_each_is(ids: tuple[str, ...]) -> None:
    versions = FRAME_METADATA.versions
    assert not versions.are_absent(ids, (NAME,)) and versions.are_absent((THERE,), (NAME,))


def test_of_a_contract_without_names_the_checks_know_what_is_lacking() -> None:
    """A memory core says itself what it offers."""
    name = "pin of ownership.rs"
    absent = replace(result(Outcome.ABSENT, "CORE-01"), lacks=(name,))
    verdict = judge_by(replace(seen(absent), lacks=(name,)), MEMORY_CORE)
    assert verdict.clauses["CORE-01"].lacks == (name,)
