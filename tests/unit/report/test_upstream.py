"""Proves what is written for the people who maintain a kernel."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Evidence, Outcome, RunKey
from frame_harness.report.json_report import document
from frame_harness.report.upstream import is_of, texts
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    DEV,
    RELEASE,
    SUBJECT,
    TABLE,
    VTABLE,
    healthy,
    healthy_run,
    passed,
    with_outcome,
)
from tests.unit.judge.test_explanation import ALONE, RACE, evidence_of

ROOT = Path("/home/u/kernel")


def broken() -> Evidence:
    evidence = with_outcome(
        healthy(), TABLE, Outcome.VIOLATED, DEV, message="stale bytes", expected="0", got="4096",
        frame=0x1000, at=f"{SUBJECT.path}:179", function="zeroed", commands=("alloc new → ok paddr=0x1000",),
        backtrace=(f"zeroed+0x12 ({SUBJECT.path}:179)",), reproduce="frame-harness check -k x",
    )  # fmt: skip
    return with_outcome(
        evidence, VTABLE, Outcome.VIOLATED, RELEASE, message="misaligned", expected="a", got="b"
    )


def test_each_finding_is_a_file_with_all_that_shows_it() -> None:
    evidence = broken()
    found = texts(evidence, judge(evidence), ROOT, "v1.2")
    assert set(found) == {"ALLOC-07.md", "VT-03.md"}
    text = found["ALLOC-07.md"]
    assert is_of("ALLOC-07", text) and not is_of("ALLOC-08", text)
    for part in (
        "# Stale bytes: 4096\n", "- Expected: 0\n", "- Physical address: `0x1000`\n", "- Kernel: v1.2\n",
        "- Builds: dev\n", "- QEMU 7.2.22 (tcg), rustc 1.95.0\n",
        "## Commands to the kernel, with its replies\n\n````\nalloc new → ok paddr=0x1000\n",
        "## See it again\n\n````\nframe-harness check -k x\n````\n",
    ):  # fmt: skip
        assert part in text, part


def test_paths_are_those_of_the_kernel_and_not_of_the_host() -> None:
    evidence = broken()
    text = texts(evidence, judge(evidence), ROOT, "")["ALLOC-07.md"]
    assert "- Code: `src/memory/frame.rs:179`, in `zeroed`" in text and str(ROOT) not in text
    words = f"held at {SUBJECT.path}:7"
    evidence = with_outcome(evidence, TABLE, Outcome.VIOLATED, DEV, message=words, got=words, exhibit=words)
    text = texts(evidence, judge(evidence), ROOT, "")["ALLOC-07.md"]
    assert text.startswith("# Held at src/memory/frame.rs:7: held at ") and str(ROOT) not in text


def test_without_a_version_the_file_s_own_sum_names_it() -> None:
    evidence = broken()
    assert "- Kernel: 1f1f1f1f1f1f\n" in texts(evidence, judge(evidence), ROOT, "")["VT-03.md"]


def test_what_there_is_nothing_of_has_no_heading() -> None:
    evidence = broken()
    text = texts(evidence, judge(evidence), ROOT, "")["VT-03.md"]
    assert "Backtrace" not in text and "Physical address" not in text


def test_builds_and_tools_are_named_once_however_many_machines_there_were() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED)
    others = [RunKey("pc", profile) for profile in ("dev", "release")]
    more = with_outcome(
        replace(
            evidence,
            runs=(*evidence.runs, *map(healthy_run, others)),
            checks=(*evidence.checks, *(passed(TABLE, key) for key in others)),
        ), TABLE, Outcome.VIOLATED,
    )  # fmt: skip
    text = texts(more, judge(more), ROOT, "")["ALLOC-07.md"]
    assert "- Builds: dev, release\n- QEMU 7.2.22 (tcg), rustc 1.95.0\n" in text


def test_what_a_guest_says_ends_no_line_and_no_block() -> None:
    said = "panic\n\n# FAKE\x1b[2J <b>&amp;"
    evidence = with_outcome(
        broken(), TABLE, Outcome.VIOLATED, DEV, message=said, expected=said, got=said, function="f`\n# FAKE",
        commands=("```", "````", "# FAKE"), exhibit="~~~~\n```\n# FAKE", backtrace=("\x1b[2J",),
    )  # fmt: skip
    text = texts(evidence, judge(evidence), ROOT, "v\n# FAKE")["ALLOC-07.md"]
    assert is_of("ALLOC-07", text)
    assert "- Got: panic \\# FAKE\\\\x1b\\[2J \\<b\\>\\&amp;\n" in text
    assert "`, in `f' # FAKE`\n" in text and "- Kernel: v \\# FAKE\n" in text
    assert all(line.isprintable() for line in text.splitlines())
    outside = text.split("\n````\n")[::2]
    assert len(outside) == 5 and not any("\n# FAKE" in part for part in outside)


def test_code_in_no_known_function_names_none() -> None:
    evidence = with_outcome(broken(), TABLE, Outcome.VIOLATED, DEV, function="")
    text = texts(evidence, judge(evidence), ROOT, "")["ALLOC-07.md"]
    assert "- Code: `src/memory/frame.rs:179`\n" in text


def test_a_function_keeps_its_name_at_the_begin_of_a_title() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, message="inc_ref() on 0x1", got="ok")
    assert texts(evidence, judge(evidence), ROOT, "")["ALLOC-07.md"].startswith("# inc\\_ref() on 0x1: ok\n")


def test_what_comes_of_another_finding_names_it() -> None:
    evidence = evidence_of(ALONE, RACE)
    found = texts(evidence, judge(evidence), ROOT, "")
    assert "- Explained by: REF-01\n" in found["REF-04.md"] and "Explained" not in found["REF-01.md"]


def test_what_comes_of_the_second_of_two_faults_of_a_clause_names_its_text() -> None:
    other = replace(ALONE, cause="other", check="test_x.py::test_other", field="guard")
    evidence = evidence_of(ALONE, other, replace(RACE, field="guard"))
    verdict = judge(evidence)
    found = texts(evidence, verdict, ROOT, "")
    assert set(found) == {"REF-01.md", "REF-01-2.md", "REF-04.md"}
    assert "- Explained by: REF-01-2\n" in found["REF-04.md"]
    told = {
        one["clause"]: one["explained_by_cause"] for one in document(evidence, verdict, EMPTY)["findings"]
    }
    assert told == {"REF-01": None, "REF-04": "other"}


def test_a_violation_without_words_has_those_of_its_clause() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED)
    text = texts(evidence, judge(evidence), ROOT, "")["ALLOC-07.md"]
    assert text.startswith("# PageTable before zeroed(false)") and "Expected:" not in text


def test_a_known_finding_is_not_sent_again() -> None:
    evidence = broken()
    known = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "sent"\n')
    assert set(texts(evidence, judge(evidence, known), ROOT, "")) == {"VT-03.md"}


def test_two_findings_of_one_clause_have_two_files() -> None:
    evidence = broken()
    verdict = judge(evidence)
    first = verdict.findings[0]
    twice = replace(verdict, findings=(first, replace(first, cause="other")))
    assert set(texts(evidence, twice, ROOT, "")) == {"ALLOC-07.md", "ALLOC-07-2.md"}
