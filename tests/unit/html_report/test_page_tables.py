"""The tables of the page count what the evidence has, and say each thing once."""

from __future__ import annotations

from msgspec.structs import replace

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report import tables
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import Reason, ReasonCode
from frame_harness.judge.verdict import Verdict
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    CHECKS,
    DEV,
    LIFE,
    TABLE,
    VTABLE,
    healthy,
    with_outcome,
)


def test_sections_have_each_clause_once_in_the_contract_s_order_with_what_became_of_it() -> None:
    known = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "builder order"\n')
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED)
    evidence = with_outcome(evidence, VTABLE, Outcome.VIOLATED)
    sections = tables.sections(FRAME_METADATA, judge(evidence, known))
    rows = {row.clause.id: row for section in sections for row in section.rows}
    assert list(rows) == list(FRAME_METADATA.clauses)
    assert [section.title for section in sections] == list(FRAME_METADATA.clauses.sections.values())
    shown = {id_: (rows[id_].sign, rows[id_].broken) for id_ in ("ALLOC-07", "VT-03", "FRAME-03", "REF-01")}
    assert shown == {
        "ALLOC-07": ("◐", False), "VT-03": ("✗", True), "FRAME-03": ("✓", False), "REF-01": ("–", False),
    }  # fmt: skip
    assert sum(section.broken for section in sections) == 1
    assert rows["LAYOUT-01"].words == "layout"


def test_a_section_of_which_nothing_was_judged_is_left_out() -> None:
    verdict = judge(healthy())
    some = {id_: one for id_, one in verdict.clauses.items() if id_.startswith("REF-")}
    [section] = tables.sections(FRAME_METADATA, replace(verdict, clauses=some))
    assert {row.clause.id for row in section.rows} == set(some)


def test_what_stands_against_a_pass_and_is_shown_elsewhere_is_left_out() -> None:
    lost = Reason(kind=VerdictKind.ERROR, code=ReasonCode.RUNS, message="never made", run=DEV)
    shown = [
        replace(lost, code=code)
        for code in (
            ReasonCode.VIOLATION,
            ReasonCode.CHECK_CRASHED,
            ReasonCode.CHECK_TIMEOUT,
            ReasonCode.CHECK_ERROR,
        )
    ]
    verdict = Verdict(reasons=(lost, *shown, replace(lost, code=ReasonCode.TROUBLE, message="no build")))
    assert tables.reasons(verdict) == (
        (str(VerdictKind.ERROR), "never made", str(DEV)), (str(VerdictKind.ERROR), "no build", str(DEV)),
    )  # fmt: skip


def test_checks_that_ended_in_one_way_are_shown_once() -> None:
    evidence = with_outcome(healthy(), LIFE, Outcome.CRASHED, message="#PF at 0x0")
    assert len(tables.stopped(evidence)) == 1
    assert tables.stopped(with_outcome(healthy(), LIFE, Outcome.NOT_EVALUATED)) == ()


def test_the_summary_says_nothing_of_what_there_is_none_of() -> None:
    evidence = healthy()
    whole = dict(tables.summary(evidence, judge(evidence)))
    assert whole["checks"] == f"{len(CHECKS)} checks"
    assert whole["with"] == "QEMU 7.2.22 (tcg), rustc 1.95.0"
    assert "only" not in whole and "broken" not in whole["clauses"]
    part = replace(evidence, selection="REF", runs=())
    rows = dict(tables.summary(part, judge(part)))
    assert rows["only"] == "REF"
    assert "with" not in rows
