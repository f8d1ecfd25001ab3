"""Violations become findings: one a clause, in an order and with a place a person can use."""

import pytest
from msgspec.structs import replace

from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Evidence, Outcome, RunKey
from frame_harness.judge.findings import Finding
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    CHECKS,
    LIFE,
    RANGE,
    SUBJECT,
    TABLE,
    healthy,
    healthy_run,
    passed,
    with_outcome,
)

KEYS = tuple(RunKey(machine, profile) for machine in ("q35", "pc") for profile in ("dev", "release"))


def on_four_runs() -> Evidence:
    checks = tuple(passed(check, key) for key in KEYS for check in CHECKS)
    return Evidence(subject=SUBJECT, planned_runs=KEYS, runs=tuple(map(healthy_run, KEYS)), checks=checks)


def found(evidence: Evidence, known: str = "") -> tuple[Finding, ...]:
    baseline = known_findings(known) if known else EMPTY
    return judge(evidence, baseline).findings


def test_healthy_evidence_has_no_finding() -> None:
    assert found(healthy()) == ()


@pytest.mark.parametrize(
    ("runs", "where"),
    [
        (KEYS, "every run"),
        ((KEYS[0], KEYS[2]), "dev only"),
        ((KEYS[0], KEYS[1]), "q35 only"),
        ((KEYS[3],), "pc/release"),
        ((KEYS[0], KEYS[3]), "pc/release, q35/dev"),
        ((KEYS[0], KEYS[1], KEYS[2]), "pc/dev, q35/dev, q35/release"),
    ],
)
def test_where_a_finding_shows_is_said_as_briefly_as_is_true(runs: tuple[RunKey, ...], where: str) -> None:
    [finding] = found(with_outcome(on_four_runs(), RANGE, Outcome.VIOLATED, *runs))
    assert (finding.where, finding.runs) == (where, runs)


def test_a_run_that_skipped_the_check_does_not_count_for_where() -> None:
    evidence = with_outcome(on_four_runs(), RANGE, Outcome.SKIPPED, KEYS[1], KEYS[3])
    [finding] = found(with_outcome(evidence, RANGE, Outcome.VIOLATED, KEYS[0], KEYS[2]))
    assert finding.where == "every run"


def test_broken_promises_come_before_hazards_and_known_findings_last() -> None:
    evidence = on_four_runs()
    for check in (TABLE, RANGE, LIFE):
        evidence = with_outcome(evidence, check, Outcome.VIOLATED)
    order = [finding.clause for finding in found(evidence)]
    assert order == ["ALLOC-02", "ALLOC-09", "ALLOC-07", "FRAME-03"]
    known = found(evidence, '[[finding]]\nid = "ALLOC-02"\nreason = "seen"\n')
    assert [finding.clause for finding in known] == ["ALLOC-09", "ALLOC-07", "FRAME-03", "ALLOC-02"]
    assert known[-1].known == "seen"
    assert known[0].title == CLAUSES["ALLOC-09"].title


def test_a_violation_that_names_its_clause_is_a_finding_of_that_clause_alone() -> None:
    evidence = with_outcome(on_four_runs(), LIFE, Outcome.VIOLATED, breaks=("ALLOC-02",))
    assert [finding.clause for finding in found(evidence)] == ["ALLOC-02"]


def test_an_entry_with_a_cause_makes_no_other_fault_of_its_clause_known() -> None:
    entry = '[[finding]]\nid = "FRAME-03"\nreason = "seen"\ncause = "one"\n'
    evidence = with_outcome(on_four_runs(), RANGE, Outcome.VIOLATED, *KEYS[:2], cause="one")
    assert [(one.cause, one.known) for one in found(evidence, entry)] == [("one", "seen")]
    evidence = with_outcome(evidence, RANGE, Outcome.VIOLATED, KEYS[2], cause="other")
    evidence = with_outcome(evidence, RANGE, Outcome.VIOLATED, KEYS[3])
    assert [(one.cause, one.known) for one in found(evidence, entry)] == [
        ("other", ""),
        ("", ""),
        ("one", "seen"),
    ]
    verdict = judge(replace(evidence, plan=healthy().plan), known_findings(entry))
    told = [(one.run, one.check) for one in verdict.reasons if one.code == "violation"]
    assert told == [(KEYS[2], RANGE), (KEYS[3], RANGE)]


def test_of_a_finding_that_is_known_in_one_profile_the_new_violation_is_shown() -> None:
    evidence = with_outcome(on_four_runs(), RANGE, Outcome.VIOLATED)
    [finding] = found(evidence, '[[finding]]\nid = "FRAME-03"\nreason = "seen"\nprofile = "dev"\n')
    assert (finding.known, finding.first.run.profile) == ("", "release")
