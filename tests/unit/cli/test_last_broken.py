"""Proves which checks count as broken before, in a report and in the note of earlier runs."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from frame_harness.base.errors import UsageError
from frame_harness.cli import check
from frame_harness.cli.last_broken import broken_before, broken_in, broken_last, remember, remember_cases
from frame_harness.cli.options import LAST_RUN
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.subject import Subject
from frame_harness.judge.difference import BrokenCheck
from frame_harness.judge.evidence import CheckInRun, CheckResult, Outcome, RunKey, Source
from frame_harness.memory_core.checks import check_of
from tests.unit.evidence_samples import DEV, LIFE, RELEASE, TABLE, VTABLE, passed


def place(check: str, run: RunKey = DEV) -> BrokenCheck:
    """A check of the samples, as it is noted."""
    return BrokenCheck(CheckInRun(run=run, check=check), passed(check, run).clauses)


BROKEN = [Outcome.VIOLATED, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.ERROR, Outcome.NOT_EVALUATED]


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "frame.rs"
    file.write_text("// a module\n")
    return frame_module(file)


def test_nothing_was_broken_where_nothing_ran(subject: Subject) -> None:
    assert broken_last(subject) == frozenset()


@pytest.mark.parametrize("outcome", BROKEN)
def test_each_way_to_break_is_remembered(subject: Subject, outcome: Outcome) -> None:
    remember(subject, [msgspec.structs.replace(passed(TABLE, DEV), outcome=outcome), passed(LIFE, DEV)])
    assert broken_last(subject) == {place(TABLE)}


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT])
def test_what_is_no_fault_is_not_remembered(subject: Subject, outcome: Outcome) -> None:
    remember(subject, [msgspec.structs.replace(passed(TABLE, DEV), outcome=outcome)])
    assert broken_last(subject) == frozenset()


def test_what_did_not_run_again_stays_broken_and_what_passes_is_forgotten(subject: Subject) -> None:
    broken = [msgspec.structs.replace(passed(name, DEV), outcome=Outcome.VIOLATED) for name in (TABLE, LIFE)]
    remember(subject, broken)
    remember(subject, [passed(TABLE, DEV), passed(LIFE, RELEASE), passed(VTABLE, DEV)])
    assert broken_last(subject) == {place(LIFE)}


def test_each_file_has_a_note_of_its_own(subject: Subject, tmp_path: Path) -> None:
    other = tmp_path / "other.rs"
    other.write_text("// a module\n")
    remember(subject, [msgspec.structs.replace(passed(TABLE, DEV), outcome=Outcome.VIOLATED)])
    assert broken_last(frame_module(other)) == frozenset()


def test_an_edit_of_the_file_keeps_the_note(subject: Subject) -> None:
    remember(subject, [msgspec.structs.replace(passed(TABLE, DEV), outcome=Outcome.VIOLATED)])
    subject.path.write_text("// mended\n")
    assert broken_last(subject.refreshed())


def of_a_case(clause: str, outcome: Outcome, case: str = "", number: int = 1) -> CheckResult:
    return CheckResult(
        check=check_of(clause, number), clauses=(clause,), run=DEV, outcome=outcome, duration_s=0, case=case
    )  # fmt: skip


def test_a_case_is_forgotten_when_its_clause_holds_and_not_before(subject: Subject) -> None:
    first, second = ("0x0..0x9000 free", "0x0..0x5000 free")
    broken = [
        of_a_case("CORE-04", Outcome.VIOLATED, first),
        of_a_case("CORE-15", Outcome.VIOLATED, first),
        of_a_case("CORE-15", Outcome.VIOLATED, second, number=2),
    ]
    remember_cases(subject, broken)
    assert {one.place.case for one in broken_last(subject)} == {first, second}
    remember_cases(
        subject, [of_a_case("CORE-04", Outcome.PASSED), of_a_case("CORE-15", Outcome.NOT_EVALUATED)]
    )
    assert broken_last(subject) == {
        BrokenCheck(CheckInRun(run=DEV, check=check_of("CORE-15", number), case=case), ("CORE-15",))
        for number, case in ((1, first), (2, second))
    }
    remember_cases(subject, [of_a_case("CORE-15", Outcome.PASSED)])
    assert broken_last(subject) == frozenset()


def test_a_note_that_cannot_be_read_says_nothing_and_is_replaced(subject: Subject, tmp_path: Path) -> None:
    remember(subject, [msgspec.structs.replace(passed(TABLE, DEV), outcome=Outcome.VIOLATED)])
    [note] = (tmp_path / "cache" / "last").iterdir()
    note.write_text("{")
    assert broken_last(subject) == frozenset()
    remember(subject, [msgspec.structs.replace(passed(LIFE, DEV), outcome=Outcome.VIOLATED)])
    assert broken_last(subject) == {place(LIFE)}


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"[]", b'{"schema": 2, "runs": [{"checks": []}]}', b'{"schema": 2, "runs": "none"}'),
        b'{"schema": 2, "runs": [{"run": {"machine": "\xff", "profile": "dev"}, "checks": []}]}',
        pytest.param(b'{"more": ' + b"[" * 100_000, id="too deep"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(text)
    with pytest.raises(UsageError, match=r"--last-failed.*expected a JSON report") as refused:
        broken_in(file)
    assert "\n" not in refused.value.summary


def test_a_report_of_another_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text('{"schema": 1, "runs": []}')
    with pytest.raises(UsageError, match=r"expected a report of schema 2, got schema 1"):
        broken_in(file)


def test_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        broken_in(tmp_path / "none.json")


def beside(source: Source, run: RunKey = DEV, outcome: Outcome = Outcome.VIOLATED) -> CheckResult:
    """What was found without a check of it."""
    return CheckResult(
        check=f"{source}::FREE-03",
        clauses=("FREE-03",),
        run=run,
        outcome=outcome,
        duration_s=0.0,
        source=source,
    )


def hindered(check: str) -> CheckResult:
    return msgspec.structs.replace(passed(check, DEV), outcome=Outcome.SKIPPED, hindered_by="FREE-03")


def report_of(folder: Path, *results: CheckResult) -> Path:
    """A report of one run on DEV with these results, as `--json` writes it."""
    file = folder / "report.json"
    file.write_bytes(msgspec.json.encode({"schema": 2, "runs": [{"run": DEV, "checks": results}]}))
    return file


def test_what_a_check_met_on_its_way_is_looked_for_by_that_check(subject: Subject, tmp_path: Path) -> None:
    met = [hindered(TABLE), beside(Source.ON_THE_WAY), passed(LIFE, DEV)]
    remember(subject, met)
    assert broken_last(subject) == {place(TABLE)}
    assert broken_in(report_of(tmp_path, *met)) == {place(TABLE)}
    remember(subject, [passed(TABLE, DEV)])
    assert broken_last(subject) == frozenset()


def test_what_preflight_found_is_looked_for_wherever_its_run_has_a_broken_check(
    subject: Subject, tmp_path: Path
) -> None:
    broken = msgspec.structs.replace(passed(TABLE, DEV), outcome=Outcome.VIOLATED)
    remember(subject, [beside(Source.PREFLIGHT), broken])
    assert broken_before(LAST_RUN, subject) == {place(TABLE)}
    assert broken_before(report_of(tmp_path, beside(Source.PREFLIGHT), broken), subject) == {place(TABLE)}


def test_what_preflight_found_in_a_run_without_a_broken_check_asks_for_all_checks(subject: Subject) -> None:
    broken = msgspec.structs.replace(passed(TABLE, RELEASE), outcome=Outcome.VIOLATED)
    remember(subject, [beside(Source.PREFLIGHT), broken])
    assert broken_before(LAST_RUN, subject) == frozenset()
    assert broken_last(subject) == {place(TABLE, RELEASE)}


def test_what_preflight_finds_no_longer_is_forgotten_with_any_check_of_its_run(subject: Subject) -> None:
    broken = msgspec.structs.replace(passed(TABLE, RELEASE), outcome=Outcome.VIOLATED)
    remember(subject, [beside(Source.PREFLIGHT), broken])
    remember(subject, [passed(LIFE, DEV)])
    assert broken_before(LAST_RUN, subject) == {place(TABLE, RELEASE)}


def test_a_choice_of_none_of_the_broken_checks_is_refused_before_anything_is_compiled(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> NoReturn:
        raise AssertionError("it compiles")

    monkeypatch.setattr(check, "_build_first", build)
    name = "test_a_constants.py::test_page_size_and_slot_size"
    broken = CheckResult(check=name, clauses=("CONST-01",), run=DEV, outcome=Outcome.VIOLATED, duration_s=0)
    remember(subject, [broken])
    asked = check.CheckRequest(frame_rs=subject.path, last_failed=LAST_RUN, select="ALLOC-07")
    with pytest.raises(UsageError, match="1 check: expected of the chosen machines and checks"):
        check.check(asked)
