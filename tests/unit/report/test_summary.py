"""What both reports for a person draw is counted once, and says each thing once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report import page
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import Evidence, Outcome, Trouble
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import Reason, ReasonCode
from frame_harness.report.blocks import broken_off_block
from frame_harness.report.summary import Against, against, run_rows, skipped, tools, unjudged
from frame_harness.report.terminal import print_report
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    CHECKS,
    DEV,
    LIFE,
    RANGE,
    RELEASE,
    TABLE,
    healthy,
    with_outcome,
    with_run,
)
from tests.unit.judge.test_explanation import ALONE, RACE, evidence_of

COUNTED = {
    Outcome.PASSED: "passed",
    Outcome.VIOLATED: "broken",
    Outcome.SKIPPED: "skipped",
    Outcome.ABSENT: "skipped",
    Outcome.CRASHED: "stopped",
    Outcome.TIMEOUT: "stopped",
    Outcome.ERROR: "stopped",
    Outcome.NOT_EVALUATED: "stopped",
}


def drawn(evidence: Evidence, known: Baseline = EMPTY) -> tuple[str, str]:
    """The report in a terminal, and the page."""
    file = io.StringIO()
    verdict = judge(evidence, known)
    print_report(evidence, verdict, known, Console(file=file, width=200))
    return file.getvalue(), page.dumps(evidence, verdict, known, FRAME_METADATA)


@pytest.mark.parametrize("outcome", Outcome)
def test_each_end_of_a_check_is_counted_once_and_in_its_own_run(outcome: Outcome) -> None:
    """An outcome that is new would be counted nowhere."""
    dev, release = run_rows(with_outcome(healthy(), TABLE, outcome, DEV))
    counts = {name: getattr(dev, name) for name in ("passed", "broken", "skipped", "stopped")}
    assert counts[COUNTED[outcome]] == (len(CHECKS) if outcome is Outcome.PASSED else 1)
    assert sum(counts.values()) == dev.checks == len(CHECKS)
    assert (release.passed, release.run.run) == (len(CHECKS), RELEASE)
    assert dev.guest_time == "0.1 s"


def test_equal_reasons_are_told_once_with_each_of_their_runs() -> None:
    lost = Reason(kind=VerdictKind.ERROR, code=ReasonCode.RUNS, message="never made", run=DEV)
    reasons = [
        lost, replace(lost, run=RELEASE), lost, replace(lost, kind=VerdictKind.CRASH, run=None),
        replace(lost, code=ReasonCode.VIOLATION, message="seen"),
    ]  # fmt: skip
    assert against(reasons, {ReasonCode.VIOLATION}) == (
        Against(VerdictKind.ERROR, "never made", (DEV, RELEASE)),
        Against(VerdictKind.CRASH, "never made", ()),
    )


def test_clauses_that_were_not_judged_for_one_reason_are_told_together() -> None:
    first = Reason(
        kind=VerdictKind.NO_TESTS,
        code=ReasonCode.CLAUSE_UNJUDGED,
        message="REF-01: not evaluated",
        clause="REF-01",
    )
    reasons = [first, replace(first, message="REF-02: not evaluated", clause="REF-02")]
    assert [one.words for one in against(reasons, ())] == ["REF-01…02: not evaluated"]


def test_reasons_to_skip_are_counted_the_most_frequent_first_and_absence_is_none() -> None:
    evidence = with_outcome(healthy(), RANGE, Outcome.SKIPPED, DEV, message="no such RAM")
    evidence = with_outcome(evidence, LIFE, Outcome.SKIPPED, message="too little room")
    evidence = with_outcome(evidence, TABLE, Outcome.ABSENT, message="not in this version", lacks=("poison",))
    assert skipped(evidence) == (("too little room", 2), ("no such RAM", 1))


@pytest.mark.parametrize(
    ("outcome", "fields", "why"),
    [
        (Outcome.SKIPPED, {"message": "no such RAM"}, "skipped: no such RAM"),
        (Outcome.NOT_EVALUATED, {"message": "frame.rs: cannot be read"}, "frame.rs: cannot be read"),
        (Outcome.CRASHED, {"message": "panic: at f.rs:7"}, "crashed"),
        (
            Outcome.ABSENT,
            {"message": "not there", "lacks": ("frame_flags::MOVABLE", "MetaSlot")},
            "not in this version",
        ),
        (
            Outcome.ABSENT,
            {"message": "not there", "lacks": ("poison",)},
            "no check of it can be made in this version: not there",
        ),
        (Outcome.VIOLATED, {"message": "dirty: 1", "breaks": ("ALLOC-02",)}, "the check ended at ALLOC-02"),
    ],
)
def test_clauses_are_told_together_by_what_left_them_unevaluated(
    outcome: Outcome, fields: dict[str, Any], why: str
) -> None:
    evidence = replace(with_outcome(healthy(), LIFE, outcome, **fields), lacks=fields.get("lacks", ()))
    left = ("ALLOC-09",) if outcome is Outcome.VIOLATED else ("ALLOC-02", "ALLOC-09")
    none, *others = unjudged(judge(evidence))
    assert none[0] == "no check of it ran"
    assert others == [(why, left)]


def test_a_run_whose_guests_never_came_up_names_no_qemu() -> None:
    evidence = with_run(healthy(), DEV, qemu_version="", accelerator="")
    assert tools(evidence) == "QEMU 7.2.22 (tcg), rustc 1.95.0"
    nowhere = with_run(evidence, RELEASE, qemu_version="", accelerator="")
    assert tools(nowhere) == "rustc 1.95.0"
    assert all("rustc 1.95.0" in text and "QEMU  ()" not in text for text in drawn(nowhere))


def test_what_comes_of_a_finding_is_counted_apart_in_both_reports() -> None:
    terminal, html = drawn(evidence_of(ALONE, RACE))
    words = "what this subject breaks; 1 consequence, each below its cause"
    assert f"1 finding  {words}\n" in terminal and f"<h2>1 finding: {words}</h2>" in html
    terminal, html = drawn(evidence_of(ALONE))
    assert "1 finding  what this subject breaks\n" in terminal
    assert "<h2>1 finding: what this subject breaks</h2>" in html


def test_a_result_without_a_message_is_told_by_what_it_got() -> None:
    seen = {"message": "", "expected": "0", "got": "<7>"}
    _, html = drawn(with_outcome(healthy(), TABLE, Outcome.VIOLATED, **seen))
    assert f"({RELEASE}): expected 0, got &lt;7&gt;</li>" in html


def test_words_of_a_compiler_stand_once_for_all_runs_in_both_reports() -> None:
    lost = Trouble(what="build", message="it does not compile", detail="error[E0308]: <x>", run=DEV)
    other = replace(lost, run=RELEASE, detail="error[E0309]: y")
    terminal, html = drawn(replace(healthy(), errors=(lost, replace(lost, run=RELEASE))))
    assert (terminal.count("E0308"), html.count("error[E0308]: &lt;x&gt;")) == (1, 1)
    assert "E0309" in drawn(replace(healthy(), errors=(lost, other)))[1]


def test_an_entry_that_fires_no_longer_is_told_with_its_scope_in_both_reports() -> None:
    entry = '[[finding]]\nid = "FRAME-03"\nreason = "seen"\nprofile = "{}"\ncause = "a<b"\n'
    known = known_findings("".join(map(entry.format, ("dev", "release"))))
    terminal, html = drawn(healthy(), known)
    for profile in ("dev", "release"):
        assert f"seen ({profile}, a<b)\n" in terminal
        assert f"<li>FRAME-03: seen ({profile}, a&lt;b)</li>" in html


def test_checks_that_ended_alike_are_each_named_once_with_their_runs_in_both_reports() -> None:
    one = with_outcome(healthy(), TABLE, Outcome.CRASHED, message="panic: at f.rs:7")
    terminal, html = drawn(one)
    assert "likewise" not in terminal and "likewise" not in html
    assert f'<span class="faint">{DEV}, {RELEASE}</span>' in html
    terminal, html = drawn(with_outcome(one, LIFE, Outcome.CRASHED, message="panic: at f.rs:7"))
    assert f"likewise  1 check: {LIFE.rpartition('::')[2]}\n" in terminal
    assert "likewise 1 check<" in html and f'<p class="mono">{LIFE}</p>' in html


def test_checks_of_one_name_in_several_files_are_told_apart() -> None:
    checks = ("a.py::test_x", "b.py::test_x", "b.py::test_y", "b.py::test_z")
    file = io.StringIO()
    Console(file=file, width=200).print(broken_off_block(healthy().checks[0], checks))
    assert "likewise  4 checks: a.py::test_x, b.py::test_x, test_y and 1 more\n" in file.getvalue()


def test_what_a_version_lacks_is_named_and_not_counted_as_skipped_in_both_reports() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.ABSENT, message="not there", lacks=("poison",))
    terminal, html = drawn(replace(evidence, lacks=("poison",)))
    assert "names that this version lacks" in terminal and "Names that this version lacks" in html
    assert "skipped\n" not in terminal and "Skipped checks" not in html
