"""What is known to be broken stands against no PASS, and hides nothing that was to be looked at."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, PlannedCheck, RunKey, Source
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.verdict import Verdict
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import DEV, LIFE, RELEASE, TABLE, VTABLE, healthy, passed, with_outcome

KNOWN = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "builder order"\n')
KNOWN_LIFE = known_findings('[[finding]]\nid = "ALLOC-09"\nreason = "known"\n')


def found_beside(evidence: Evidence, source: Source, *keys: RunKey) -> Evidence:
    """Evidence in which ALLOC-07 was found broken without a check of it."""
    name = f"{source}::ALLOC-07"
    for key in keys:
        found = CheckResult(
            check=name,
            clauses=("ALLOC-07",),
            run=key,
            outcome=Outcome.VIOLATED,
            duration_s=0.0,
            source=source,
        )
        plan = PlannedCheck(run=key, check=name, clauses=("ALLOC-07",))
        evidence = replace(evidence, checks=(*evidence.checks, found), plan=(*evidence.plan, plan))
    return evidence


def only(evidence: Evidence, *checks: str) -> Evidence:
    """A selection of checks."""
    return replace(
        evidence,
        checks=tuple(one for one in evidence.checks if one.check in checks),
        plan=tuple(one for one in evidence.plan if one.check in checks),
    )


def hindered(evidence: Evidence, check: str) -> Evidence:
    """Evidence in which a check met ALLOC-07 before it could look at its own clause."""
    evidence = with_outcome(evidence, check, Outcome.SKIPPED, hindered_by="ALLOC-07", message="it is broken")
    return found_beside(evidence, Source.ON_THE_WAY, DEV, RELEASE)


def unjudged(verdict: Verdict) -> list[tuple[RunKey | None, str]]:
    """By run the clauses that nothing was said of, where that alone stands against a PASS."""
    assert verdict.kind is VerdictKind.NO_TESTS, verdict.reasons
    return [(reason.run, reason.clause) for reason in verdict.reasons]


def test_what_a_known_finding_kept_from_being_looked_at_is_no_pass() -> None:
    verdict = judge(hindered(healthy(), VTABLE), KNOWN)
    assert verdict.clauses["VT-03"].outcome is ClauseOutcome.NOT_EVALUATED
    assert unjudged(verdict) == [(DEV, "VT-03"), (RELEASE, "VT-03")]
    required = judge(hindered(healthy(), VTABLE), KNOWN, required=["VT-03"])
    assert required.reasons == verdict.reasons, "said once"


def test_a_finding_that_is_not_known_is_the_reason_and_not_what_it_hides() -> None:
    verdict = judge(hindered(healthy(), VTABLE))
    assert verdict.kind is VerdictKind.FAIL
    assert {reason.code for reason in verdict.reasons} == {"violation"}


def beside(evidence: Evidence, *keys: RunKey) -> Evidence:
    """Evidence in which another check saw VT-03 hold."""
    name = "test_g_guard.py::test_other"
    return replace(
        evidence,
        checks=(
            *evidence.checks,
            *(replace(passed(VTABLE, key), check=name) for key in keys),
        ),
        plan=(*evidence.plan, *(PlannedCheck(run=key, check=name, clauses=("VT-03",)) for key in keys)),
    )


@pytest.mark.parametrize("required", [(), ("VT-03",)])
def test_a_clause_that_another_check_of_the_run_saw_held_is_not_hidden(required: tuple[str, ...]) -> None:
    verdict = judge(hindered(beside(healthy(), DEV, RELEASE), VTABLE), KNOWN, required)
    assert verdict.kind is VerdictKind.PASS
    assert verdict.clauses["VT-03"].outcome is ClauseOutcome.HELD


@pytest.mark.parametrize("required", [(), ("VT-03",)])
def test_that_a_clause_holds_in_one_run_says_nothing_of_another_in_which_it_is_hidden(
    required: tuple[str, ...],
) -> None:
    """A known finding of one profile, and a bug behind it: the other profile passes either way."""
    known = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "known"\nprofile = "dev"\n')
    evidence = with_outcome(healthy(), VTABLE, Outcome.SKIPPED, DEV, hindered_by="ALLOC-07", message="x")
    evidence = found_beside(evidence, Source.ON_THE_WAY, DEV)
    for one in (evidence, beside(evidence, RELEASE)):
        verdict = judge(one, known, required)
        assert unjudged(verdict) == [(DEV, "VT-03")]
        assert verdict.clauses["VT-03"].outcome is ClauseOutcome.NOT_EVALUATED
    assert judge(beside(evidence, DEV), known, required).kind is VerdictKind.PASS


def test_a_clause_that_is_known_to_be_broken_in_one_run_is_hidden_in_another() -> None:
    both = known_findings(
        "".join(f'[[finding]]\nid = "{id_}"\nreason = "known"\n' for id_ in ("ALLOC-07", "VT-03"))
    )
    evidence = with_outcome(healthy(), VTABLE, Outcome.SKIPPED, DEV, hindered_by="ALLOC-07", message="x")
    evidence = with_outcome(found_beside(evidence, Source.ON_THE_WAY, DEV), VTABLE, Outcome.VIOLATED, RELEASE)
    assert unjudged(judge(evidence, both)) == [(DEV, "VT-03")]


def test_a_check_that_broke_off_at_its_known_clause_did_not_look_at_its_other_one() -> None:
    verdict = judge(with_outcome(healthy(), LIFE, Outcome.VIOLATED, breaks=("ALLOC-09",)), KNOWN_LIFE)
    assert unjudged(verdict) == [(DEV, "ALLOC-02"), (RELEASE, "ALLOC-02")]


@pytest.mark.parametrize("source", [Source.PREFLIGHT, Source.ON_THE_WAY])
def test_a_known_finding_beside_checks_that_were_all_skipped_is_no_pass(source: Source) -> None:
    evidence = with_outcome(only(healthy(), VTABLE), VTABLE, Outcome.SKIPPED, message="no such RAM")
    assert judge(evidence).kind is VerdictKind.SKIP
    assert judge(found_beside(evidence, source, DEV, RELEASE), KNOWN).kind is VerdictKind.SKIP


def test_an_entry_is_not_called_stale_where_its_clause_was_hidden_in_a_run() -> None:
    entries = [f'[[finding]]\nid = "{id_}"\nreason = "known"\n' for id_ in ("ALLOC-07", "VT-03")]
    known = known_findings("".join(entries))
    evidence = with_outcome(healthy(), VTABLE, Outcome.SKIPPED, DEV, hindered_by="ALLOC-07", message="x")
    assert judge(found_beside(evidence, Source.ON_THE_WAY, DEV), known).stale == ()


def test_a_known_finding_beside_checks_that_are_all_absent_is_no_pass() -> None:
    evidence = replace(only(healthy(), VTABLE), lacks=("vtable",))
    evidence = with_outcome(evidence, VTABLE, Outcome.ABSENT, lacks=("vtable",))
    assert judge(evidence).kind is VerdictKind.UNJUDGEABLE
    assert (
        judge(found_beside(evidence, Source.PREFLIGHT, DEV, RELEASE), KNOWN).kind is VerdictKind.UNJUDGEABLE
    )


def test_a_check_is_hindered_only_by_what_something_breaks_in_its_run() -> None:
    evidence = with_outcome(healthy(), VTABLE, Outcome.SKIPPED, DEV, hindered_by="ALLOC-07")
    assert judge(evidence).kind is VerdictKind.ERROR
    assert judge(found_beside(evidence, Source.ON_THE_WAY, RELEASE), KNOWN).kind is VerdictKind.ERROR


def test_a_check_that_passed_was_not_hindered() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.PASSED, DEV, hindered_by="ALLOC-07")
    assert judge(found_beside(evidence, Source.ON_THE_WAY, DEV), KNOWN).kind is VerdictKind.ERROR
