"""The reports say what the verdict says, whatever a guest printed."""

import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from frame_harness.base.program import program
from frame_harness.base.text import printable, seconds
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import (
    DumpEvidence,
    Evidence,
    LayoutEvidence,
    Level,
    Outcome,
    Trouble,
    Witness,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.report import json_report, junit
from frame_harness.report.terminal import console_for, print_report, verdict_line
from frame_harness.report.text import id_ranges, matrix
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    DEV,
    LIFE,
    RANGE,
    RELEASE,
    TABLE,
    VTABLE,
    healthy,
    with_outcome,
    with_run,
)

SEEN = {
    "expected": "4096 zero bytes",
    "got": "0xde at byte 0",
    "frame": 0x1234000,
    "field": "payload",
    "at": "src/memory/frame.rs:187",
    "commands": ("41 payload.fill 0x1234000 0xde", "42 alloc purpose=pagetable zeroed=0"),
    "console_tail": ("# boot", "\x1b[31mred\x1b[0m \x00\x07 \udcff"),
    "backtrace": ("frame::allocate+0x12 (src/memory/frame.rs:187)",),
    "reproduce": "frame-harness check --frame-rs /home/u/kernel/src/memory/frame.rs --profile dev -k a_name",
}
KNOWN = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "builder order"\n')


def broken() -> Evidence:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, **SEEN)
    return with_outcome(evidence, VTABLE, Outcome.VIOLATED, DEV, message="the invoker panicked")


def crashed() -> Evidence:
    return with_outcome(healthy(), LIFE, Outcome.CRASHED, DEV, message="#PF at 0x0")


def not_built() -> Evidence:
    trouble = Trouble(
        what="build", message="it does not compile", detail="error[E0308]: x\n  --> f.rs:1", run=DEV
    )
    return replace(healthy(), planned_runs=(DEV,), runs=(), checks=(), errors=(trouble,))


def skipped() -> Evidence:
    evidence = healthy()
    for check in (LIFE, RANGE, TABLE, VTABLE):
        evidence = with_outcome(evidence, check, Outcome.SKIPPED, message="no RAM behind a hole")
    return evidence


SAMPLES = {
    "healthy": healthy(),
    "broken": broken(),
    "crashed": crashed(),
    "not built": not_built(),
    "skipped": skipped(),
    "torn dump": with_run(healthy(), DEV, dumps=DumpEvidence(requested=2, whole=1)),
    "layout": with_run(
        healthy(),
        DEV,
        layout=LayoutEvidence(dwarf=Witness.DIFFERS, guest_bytes=Witness.EQUAL, text="MetaSlot: 72"),
    ),
}
every_sample = pytest.mark.parametrize("evidence", SAMPLES.values(), ids=SAMPLES.keys())


def shown(evidence: Evidence, baseline: Baseline = EMPTY, width: int = 80, color: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, highlight=False, markup=False, emoji=False, _environ={}
    )
    print_report(evidence, judge(evidence, baseline), baseline, console)
    return file.getvalue()


@every_sample
@pytest.mark.parametrize("width", [80, 120])
def test_the_report_keeps_to_its_width_and_ends_in_the_verdict(evidence: Evidence, width: int) -> None:
    lines = shown(evidence, width=width).splitlines()
    wide = [line for line in lines if len(line) > width and "see it again" not in line]
    assert wide == []
    assert [line for line in lines if line != line.rstrip()] == []
    verdict = judge(evidence)
    assert lines[-1] == verdict_line(evidence, verdict).plain
    assert lines[-1].startswith(f"{verdict.kind}: ")


def test_the_verdict_line_counts_checks_clauses_machines_and_profiles() -> None:
    evidence = broken()
    line = verdict_line(evidence, judge(evidence)).plain
    assert line == "FAIL: 4 checks, 3 clauses held, 2 broken, 2 runs; 5.0 s in all"
    line = verdict_line(evidence, judge(evidence, KNOWN)).plain
    assert line == "FAIL: 4 checks, 3 clauses held, 1 broken, 1 known, 2 runs; 5.0 s in all"


def test_the_command_that_explains_a_clause_stands_once_under_the_findings() -> None:
    evidence = broken()
    verdict = judge(evidence)
    assert len(verdict.findings) > 1
    file = io.StringIO()
    print_report(evidence, verdict, EMPTY, console_for(file), explained=True)
    line = f"explain: {program()} explain {verdict.findings[0].clause}"
    assert file.getvalue().splitlines().count(line) == 1
    assert file.getvalue().index("see it again") < file.getvalue().index(line)


def test_clauses_that_nobody_explains_get_no_such_command() -> None:
    assert "explain: " not in shown(broken())
    file = io.StringIO()
    print_report(healthy(), judge(healthy()), EMPTY, console_for(file), explained=True)
    assert "explain: " not in file.getvalue()


def test_clauses_that_were_not_judged_for_one_reason_share_a_line() -> None:
    evidence = healthy()
    verdict = judge(evidence, EMPTY, required=["CONST-01", "CONST-02", "CONST-03", "FRAME-01"])
    reasons = [reason for reason in verdict.reasons if reason.code == "clause-unjudged"]
    assert len(reasons) > 2
    file = io.StringIO()
    print_report(evidence, verdict, EMPTY, console_for(file))
    assert file.getvalue().count("not evaluated: no check of it ran") == 1
    assert "CONST-01…03 FRAME-01: not evaluated: no check of it ran" in file.getvalue()


def test_a_command_of_thousands_of_characters_is_cut_in_the_middle() -> None:
    long = "batch " + ";".join(f"release {n:#x} 0" for n in range(300))
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, commands=(long,))
    text = shown(evidence, width=300)
    assert long not in text
    assert long[:80] in text
    assert long[-80:] in text


def test_a_finding_shows_all_that_was_seen_and_one_command() -> None:
    text = shown(broken())
    for part in (
        "ALLOC-07",
        "PageTable before zeroed(false) zeroes too",
        "4096 zero bytes",
        "0xde at byte 0",
    ):
        assert part in text
    for part in ("0x0000000001234000, payload", "frame.rs:187", "42 alloc purpose", "frame::allocate+0x12"):
        assert part in text
    assert f"see it again: {SEEN['reproduce']}\n" in text


def test_a_finding_names_the_folder_with_what_its_guests_left() -> None:
    evidence, file = broken(), io.StringIO()
    key = next(result.key for result in evidence.checks if result.outcome is Outcome.VIOLATED)
    folder = Path(".build/runs/2026/failures/1-a_name")
    print_report(evidence, judge(evidence), EMPTY, console_for(file), kept={key: folder})
    assert f"    evidence: {folder}\n" in file.getvalue()
    assert "    evidence:" not in shown(evidence)


def test_a_guest_that_is_gone_is_told_with_its_place_in_the_console_and_the_monitor_s_words() -> None:
    seen = {"console_tail": ("# boot",), "console_bytes": 812, "events": ("SHUTDOWN reason=guest-reset",)}
    evidence = with_outcome(healthy(), TABLE, Outcome.CRASHED, DEV, message="reset", **seen)
    text = shown(evidence)
    assert "QEMU      SHUTDOWN reason=guest-reset" in text
    assert "(its end, at byte 812)" in text
    assert "SHUTDOWN reason=guest-reset" in junit.dumps(evidence, judge(evidence), EMPTY)


def test_a_long_exhibit_is_cut_on_a_terminal_and_whole_in_json() -> None:
    lines = [f"line {number} of the dump" for number in range(110)]
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, **{**SEEN, "exhibit": "\n".join(lines)})
    text = shown(evidence)
    assert "line 0 of the dump" in text and "line 109 of the dump" not in text
    assert "… 86 more lines: check --json FILE keeps all" in text
    assert text.count("of the dump") == 24
    assert lines[-1] in json_report.dumps(evidence, judge(evidence), EMPTY)
    assert lines[-1] in junit.dumps(evidence, judge(evidence), EMPTY)


def test_a_consequence_is_one_line_below_its_cause() -> None:
    function = "FrameAllocOptions::allocate"
    alone = {"function": function, "field": "flags", "breaks": ("ALLOC-02",), "message": "flags are wrong"}
    evidence = with_outcome(healthy(), LIFE, Outcome.VIOLATED, **alone)
    storm = {"function": function, "field": "flags", "level": Level.STORM, "message": "a storm broke it"}
    checks = tuple(
        replace(result, clauses=("ALLOC-14",), outcome=Outcome.VIOLATED, exhibit="dump", **storm)
        if result.check == TABLE
        else result
        for result in evidence.checks
    )
    text = shown(replace(evidence, checks=checks))
    assert "1 finding  what this subject breaks; 1 consequence, each below its cause\n" in text
    assert "explains  ALLOC-14: live allocations never overlap" in text
    assert "dump" not in text


def test_a_known_finding_shows_its_reason_and_not_its_details() -> None:
    text = shown(with_outcome(healthy(), TABLE, Outcome.VIOLATED, **SEEN), KNOWN)
    assert "1 known finding  from known.toml" in text
    assert "builder order" in text
    assert "see it again" not in text
    assert text.splitlines()[-1].startswith("PASS: ")


def test_words_of_a_compiler_stand_once_in_junit_for_all_runs() -> None:
    [trouble] = not_built().errors
    twice = replace(not_built(), errors=(trouble, replace(trouble, run=RELEASE)))
    assert junit.dumps(twice, judge(twice), EMPTY).count("error[E0308]") == 1


def test_an_entry_that_fires_no_longer_is_told() -> None:
    assert "1 entry of the baseline fires no longer  take it out of known.toml" in shown(healthy(), KNOWN)


def test_a_build_that_failed_shows_the_words_of_the_compiler() -> None:
    text = shown(not_built())
    assert "    error[E0308]: x\n      --> f.rs:1\n" in text


def test_color_is_for_terminals_alone_and_nothing_of_a_guest_reaches_one() -> None:
    assert "\x1b" not in shown(broken())
    colored = shown(broken(), color=True)
    assert "\x1b[" in colored
    assert "\x1b[31mred" not in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == shown(broken())


def test_a_stream_that_cannot_show_a_sign_still_gets_its_verdict() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_report(healthy(), judge(healthy()), EMPTY, console_for(stream))
    stream.flush()
    assert raw.getvalue().splitlines()[-1].startswith(b"PASS: ")


@every_sample
def test_json_has_the_documented_parts(evidence: Evidence) -> None:
    verdict = judge(evidence)
    document = json.loads(json_report.dumps(evidence, verdict, EMPTY))
    assert (document["schema"], document["verdict"]) == (2, str(verdict.kind))
    assert document["subject"] == {
        "name": evidence.subject.name,
        "path": evidence.subject.path,
        "sha256": evidence.subject.sha256,
        "files": [],
    }
    assert set(document["clauses"]) == set(verdict.clauses)
    outcomes = {"held", "violated", "known", "not-evaluated"}
    for judgement in document["clauses"].values():
        assert set(judgement) == {"outcome", "checks", "message", "lacks"}
        assert judgement["outcome"] in outcomes
    assert len(document["runs"]) == len(evidence.runs)
    assert sum(len(run["checks"]) for run in document["runs"]) == len(evidence.checks)
    assert bool(document["reasons"]) is (verdict.kind is not VerdictKind.PASS)


def test_json_says_what_the_contract_left_out() -> None:
    """Words of the verdict, whatever the contract; one that leaves nothing out has an empty list."""
    whole = judge(healthy())
    part = replace(whole, unpromised=("slots as the guest prints them", "slots as boot leaves them"))
    found = [json.loads(json_report.dumps(healthy(), one, EMPTY))["unpromised"] for one in (whole, part)]
    assert found == [[], ["slots as the guest prints them", "slots as boot leaves them"]]


@every_sample
def test_junit_is_green_with_a_pass_alone(evidence: Evidence) -> None:
    verdict = judge(evidence)
    root = ET.fromstring(junit.dumps(evidence, verdict, EMPTY))
    red = root.findall(".//failure") + root.findall(".//error")
    assert bool(red) is (verdict.kind is not VerdictKind.PASS)
    [last] = root.findall("testsuite[@name='verdict']/testcase")
    assert (len(last) == 0) is (verdict.kind is VerdictKind.PASS)
    for suite in root:
        assert int(suite.get("tests", "-1")) == len(suite)


def test_junit_shows_a_known_violation_as_skipped_and_names_clauses() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, **SEEN)
    root = ET.fromstring(junit.dumps(evidence, judge(evidence, KNOWN), KNOWN))
    assert root.findall(".//failure") == []
    [skip, _] = root.findall(".//skipped")
    assert skip.get("message") == "known: builder order"
    assert "ALLOC-07" in {one.get("value") for one in root.findall(".//property")}


@settings(max_examples=60)
@given(st.text(), st.lists(st.text(), max_size=3).map(tuple))
def test_no_text_of_a_guest_breaks_a_report(text: str, lines: tuple[str, ...]) -> None:
    seen = {
        "expected": text,
        "got": text,
        "field": text,
        "console_tail": lines,
        "exhibit": text,
        "reproduce": text,
    }
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, **seen)
    verdict = judge(evidence)
    screen = shown(evidence)
    assert set(screen) <= {"\n"} | {char for char in screen if char.isprintable()}
    assert screen.splitlines()[-1].startswith("FAIL: ")
    json.loads(json_report.dumps(evidence, verdict, EMPTY))
    ET.fromstring(junit.dumps(evidence, verdict, EMPTY))


def test_ids_control_characters_and_runs_are_written_short() -> None:
    assert id_ranges(["REF-01", "REF-02", "REF-03", "REF-07", "GEN-01"]) == "REF-01…03 REF-07 GEN-01"
    assert printable("a\x1b[1m\u202e") == "a\\x1b[1m\\u202e"
    assert matrix([DEV]) == "1 machine × 1 profile"
    assert matrix([DEV, RELEASE]) == "2 runs"
    assert matrix([]) == "no run"


@pytest.mark.parametrize(
    ("duration_s", "shown"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (60.2, "1 min 0 s"), (419.6, "7 min 0 s")]
)
def test_a_minute_has_sixty_seconds(duration_s: float, shown: str) -> None:
    assert seconds(duration_s) == shown
