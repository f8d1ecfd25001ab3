"""Proves that a difference names what is newly broken and newly held, and takes silence for no proof."""

from __future__ import annotations

import dataclasses
import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from frame_harness.judge.difference import BrokenCheck, Difference, Standing, difference
from frame_harness.judge.evidence import CheckInRun, Evidence, Outcome, Trouble
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.report.difference import print_difference, print_so_far, shown_whole
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    DEV,
    LIFE,
    RELEASE,
    SUBJECT,
    TABLE,
    VTABLE,
    healthy,
    passed,
    with_outcome,
)

NOTHING = Standing()
BROKEN = with_outcome(healthy(), TABLE, Outcome.VIOLATED, message="stale bytes")
NO_BUILD = Evidence(
    subject=SUBJECT,
    planned_runs=(),
    errors=(Trouble(what="build", message="error: expected one of", detail="^^^"),),
)


def seen(known: Standing, evidence: Evidence) -> Difference:
    return difference(known, evidence, judge(evidence))


def ids(findings: object) -> list[str]:
    return [one.clause for one in findings]  # type: ignore[attr-defined]


def with_consequence(*shown: str) -> tuple[Difference, str]:
    """ALLOC-07 explains VT-03; those of the two that are named were shown already."""
    evidence = with_outcome(BROKEN, VTABLE, Outcome.VIOLATED, message="null\x1b[2J")
    found = seen(NOTHING, evidence)
    cause, effect = found.broken
    found = dataclasses.replace(found, broken=(cause, replace(effect, root=cause.fault)))
    return found, printed(found, evidence, frozenset((clause, "") for clause in shown))


def printed(found: Difference, evidence: Evidence, shown: frozenset[tuple[str, str]] = frozenset()) -> str:
    file = io.StringIO()
    print_difference(found, shown, evidence, judge(evidence), Console(file=file, width=200))
    return file.getvalue()


def test_what_was_not_broken_before_is_newly_broken_until_it_was_seen() -> None:
    first = seen(NOTHING, BROKEN)
    assert (ids(first.broken), first.still, first.held) == (["ALLOC-07"], (), ())
    again = seen(first.standing, BROKEN)
    assert (again.broken, ids(again.still), again.held) == ((), ["ALLOC-07"], ())


def test_what_holds_now_is_newly_held_once() -> None:
    mended = seen(seen(NOTHING, BROKEN).standing, healthy())
    assert (ids(mended.held), mended.broken, mended.still) == (["ALLOC-07"], (), ())
    assert seen(mended.standing, healthy()).held == ()


def test_a_clause_that_was_not_looked_at_counts_as_broken_on() -> None:
    lost = seen(seen(NOTHING, BROKEN).standing, NO_BUILD)
    assert (ids(lost.unjudged), lost.held, lost.broken) == (["ALLOC-07"], (), ())
    assert ids(seen(lost.standing, BROKEN).still) == ["ALLOC-07"]
    assert ids(seen(lost.standing, healthy()).held) == ["ALLOC-07"]


def test_a_finding_of_a_run_that_did_not_happen_is_not_mended_by_another_run() -> None:
    known = seen(NOTHING, with_outcome(healthy(), TABLE, Outcome.VIOLATED, RELEASE)).standing
    evidence = healthy()
    alone = replace(
        evidence,
        planned_runs=(DEV,),
        runs=evidence.runs[:1],
        plan=tuple(one for one in evidence.plan if one.run == DEV),
        checks=tuple(one for one in evidence.checks if one.run == DEV),
        errors=(Trouble(what="build", message="expected `;`", run=RELEASE),),
    )
    lost = seen(known, alone)
    assert (lost.held, ids(lost.unjudged)) == ((), ["ALLOC-07"])
    assert ids(seen(lost.standing, healthy()).held) == ["ALLOC-07"]


def test_what_a_version_lacks_is_told_once() -> None:
    lacks = Trouble(what="version", message="it lacks PAGE_SIZE", outcome=Outcome.ABSENT)
    other = replace(NO_BUILD, errors=(lacks,))
    text = printed(seen(seen(NOTHING, BROKEN).standing, other), other)
    assert text.count("PAGE_SIZE") == 1
    assert text.splitlines()[-1] == "UNJUDGEABLE: it lacks PAGE_SIZE" and "broken before" in text


def test_a_clause_that_another_fault_breaks_does_not_hold() -> None:
    one = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="one")
    other = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="other")
    changed = seen(seen(NOTHING, one).standing, other)
    assert (ids(changed.broken), changed.held) == (["ALLOC-07"], ())
    assert [(finding.cause, became) for finding, became in changed.gone] == [("one", ClauseOutcome.VIOLATED)]


def test_what_the_baseline_knows_is_not_newly_broken() -> None:
    known = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "later"\n')
    assert difference(NOTHING, BROKEN, judge(BROKEN, known)).broken == ()
    became = difference(seen(NOTHING, BROKEN).standing, BROKEN, judge(BROKEN, known))
    assert ([one for _, one in became.gone], became.held) == ([ClauseOutcome.KNOWN], ())


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR])
def test_a_check_that_breaks_off_is_new_until_it_was_seen(outcome: Outcome) -> None:
    evidence = with_outcome(healthy(), LIFE, outcome, DEV, message="panic: here")
    first = seen(NOTHING, evidence)
    assert [(one.check, one.run) for one in first.stopped] == [(LIFE, DEV)]
    assert seen(first.standing, evidence).stopped == ()
    assert seen(seen(first.standing, healthy()).standing, evidence).stopped != ()


def test_the_checks_to_make_first_are_those_that_were_not_well() -> None:
    evidence = with_outcome(BROKEN, LIFE, Outcome.CRASHED, DEV, message="panic: here")
    standing = seen(NOTHING, evidence).standing
    assert standing.checks == {
        CheckInRun(run=DEV, check=TABLE),
        CheckInRun(run=RELEASE, check=TABLE),
        CheckInRun(run=DEV, check=LIFE),
    }


def test_a_case_that_shows_a_finding_comes_with_the_clauses_of_its_check() -> None:
    case = "0x0..0x9000 free"
    evidence = with_outcome(BROKEN, LIFE, Outcome.VIOLATED, DEV, message="two frames", case=case)
    [result] = [one for one in evidence.checks if one.case]
    assert seen(NOTHING, evidence).standing.cases == {BrokenCheck(result.key, result.clauses)}
    assert result.key.case == case and result.clauses
    assert seen(NOTHING, BROKEN).standing.cases == frozenset()


def test_a_check_that_was_not_made_again_stays_one_to_make_first() -> None:
    crashed = seen(NOTHING, with_outcome(healthy(), LIFE, Outcome.CRASHED, DEV, message="panic: here"))
    assert seen(crashed.standing, NO_BUILD).standing.checks == {CheckInRun(run=DEV, check=LIFE)}


def test_a_check_that_broke_off_and_shows_a_case_now_is_broken_off_no_more() -> None:
    crashed = seen(NOTHING, with_outcome(healthy(), LIFE, Outcome.CRASHED, DEV, message="panic: here"))
    case = "0x0..0x9000 free"
    shows = with_outcome(healthy(), LIFE, Outcome.VIOLATED, DEV, message="two frames", case=case)
    assert seen(crashed.standing, shows).standing.stopped == frozenset()


def test_a_new_finding_is_printed_whole_and_the_verdict_last() -> None:
    text = printed(seen(NOTHING, BROKEN), BROKEN)
    assert text.startswith("newly broken (1)\n  ALLOC-07")
    assert "what      stale bytes" in text
    assert text.splitlines()[-1].startswith("FAIL: 4 checks")


def test_a_finding_that_was_shown_is_a_line() -> None:
    text = printed(seen(NOTHING, BROKEN), BROKEN, frozenset({("ALLOC-07", "")}))
    assert "(shown above)" in text and "stale bytes" not in text


def test_a_consequence_is_listed_below_its_cause() -> None:
    _, text = with_consequence()
    assert "explains  VT-03: " in text and text.count("VT-03") == 1
    assert with_consequence("VT-03")[1].count("VT-03") == 1


def test_a_consequence_of_what_was_shown_has_a_line_of_its_own() -> None:
    found, text = with_consequence("ALLOC-07")
    assert text.startswith(f"newly broken (2)\n  ALLOC-07  {found.broken[0].title} (shown above)")
    assert f"\n  VT-03     {found.broken[1].title} (explained by ALLOC-07)" in text
    assert "null" not in text and "explains" not in text
    assert with_consequence("ALLOC-07", "VT-03")[1].count("(shown above)") == 2


def test_only_what_has_a_block_was_shown_whole() -> None:
    found, _ = with_consequence()
    assert shown_whole(found.broken) == {("ALLOC-07", "")}
    assert shown_whole(found.broken[1:]) == {("VT-03", "")}
    assert shown_whole(found.broken, {("ALLOC-07", "")}) == set()


def test_what_a_guest_says_does_not_act_on_the_terminal_in_a_line_of_what_changed() -> None:
    one = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="one", message="gone\x1b[2J\nPASS: all")
    other = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="other")
    text = printed(seen(seen(NOTHING, one).standing, other), other)
    assert "gone\\x1b[2J PASS: all: not seen any more" in text and "\x1b" not in text


def test_what_is_not_seen_any_more_is_told_by_what_it_got_where_it_has_no_message() -> None:
    one = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="one", expected="0", got="7")
    other = with_outcome(healthy(), TABLE, Outcome.VIOLATED, cause="other")
    text = printed(seen(seen(NOTHING, one).standing, other), other)
    assert ": expected 0, got 7: not seen any more; broken in another way" in text


def test_what_is_still_broken_is_counted_and_named() -> None:
    text = printed(seen(seen(NOTHING, BROKEN).standing, BROKEN), BROKEN)
    assert text.startswith("still broken (1)  ALLOC-07\n") and "stale bytes" not in text


def test_what_holds_again_is_named_with_its_words() -> None:
    text = printed(seen(seen(NOTHING, BROKEN).standing, healthy()), healthy())
    assert text.startswith("newly held (1)\n  ALLOC-07") and text.splitlines()[-1].startswith("PASS: ")


def test_the_compiler_s_words_are_printed_and_nothing_is_said_to_hold() -> None:
    text = printed(seen(seen(NOTHING, BROKEN).standing, NO_BUILD), NO_BUILD)
    assert "build: error: expected one of" in text and "^^^" in text
    assert "broken before, not judged this time (1)  ALLOC-07" in text
    assert "newly held" not in text and text.splitlines()[-1].startswith("ERROR: 0 checks")


def test_what_the_first_checks_show_is_no_verdict() -> None:
    file = io.StringIO()
    part = with_outcome(healthy(), VTABLE, Outcome.VIOLATED, message="null")
    print_so_far(seen(seen(NOTHING, BROKEN).standing, part), part, Console(file=file, width=200))
    text = file.getvalue()
    assert "newly broken so far (1)\n  VT-03" in text and "newly held so far (1)\n  ALLOC-07" in text
    assert "after the first 8 checks; the others follow" in text
    assert "PASS" not in text and "FAIL" not in text


def test_a_fault_whose_own_check_was_not_made_again_is_not_said_to_hold_so_far() -> None:
    before = replace(passed(TABLE, DEV), check="preflight::free frames are zero")
    known = replace(healthy(), checks=(*healthy().checks, replace(before, outcome=Outcome.VIOLATED)))
    found = seen(seen(NOTHING, known).standing, healthy())
    file = io.StringIO()
    print_so_far(found, healthy(), Console(file=file))
    assert ids(found.held) == ["ALLOC-07"] and file.getvalue() == ""


def test_first_checks_that_show_nothing_new_print_nothing() -> None:
    file = io.StringIO()
    print_so_far(seen(NOTHING, healthy()), healthy(), Console(file=file))
    assert file.getvalue() == ""
