"""Which checks were broken before: in the last run of a subject, or in a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.base import resources
from frame_harness.base.disk import write_whole
from frame_harness.base.errors import UsageError
from frame_harness.base.reading import bytes_of
from frame_harness.base.record import decode_json
from frame_harness.cli.options import LAST_RUN
from frame_harness.image.subject import Subject
from frame_harness.judge.difference import BrokenCheck
from frame_harness.judge.evidence import WELL, CheckInRun, CheckResult, Outcome, RunKey, Source
from frame_harness.report.json_report import SCHEMA

_FORMAT: Final = 3
"""Of the notes: those of another one are not found."""


def broken_before(report: Path | None, subject: Subject) -> frozenset[BrokenCheck]:
    """The checks that were broken in a report, or in the last run; none where nobody asks.

    None, too, where a run was broken before its first check and no check of it was: then no choice of
    checks is sure to look at that run again.

    Raises:
        UsageError: there is no such report.
    """
    if report is None:
        return frozenset()
    broken = _noted(subject) if report == LAST_RUN else broken_in(report)
    checks = frozenset(one for one in broken if one.place.check)
    runs = {one.place.run for one in broken if not one.place.check}
    return frozenset() if runs - {one.place.run for one in checks} else checks


def none_broken(report: Path) -> str:
    """That nothing was broken before, as the beginning of a sentence."""
    return f"no check was broken in {_words_for(report)}"


def _words_for(report: Path) -> str:
    return "the last run" if report == LAST_RUN else str(report)


def narrowed(selection: str, report: Path | None) -> str:
    """What was asked for alone, in words; of that, only what was broken in a report, where there is one."""
    if report is None:
        return selection
    return " of ".join(filter(None, [selection, f"what was broken in {_words_for(report)}"]))


class _Check(msgspec.Struct, frozen=True):
    check: str
    clauses: tuple[str, ...]
    outcome: Outcome
    case: str = ""
    source: Source = Source.CHECK
    hindered_by: str = ""


class _Run(msgspec.Struct, frozen=True):
    run: RunKey
    checks: tuple[_Check, ...]


class _Report(msgspec.Struct, frozen=True):
    """What is read of a JSON report."""

    schema: int
    runs: tuple[_Run, ...]


def broken_in(report: Path) -> frozenset[BrokenCheck]:
    """The checks of a JSON report that were broken, each in its run; `check` is empty for preflight.

    Raises:
        UsageError: there is no such file, or it is no such report.
    """
    try:
        found = decode_json(bytes_of(report), _Report)
    except (OSError, msgspec.MsgspecError) as error:
        actual = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            "--last-failed", str(report), expected="a JSON report of frame-harness", actual=actual,
            next_step="name a file that `check --json` wrote",
        ) from error  # fmt: skip
    if found.schema != SCHEMA:
        raise UsageError(
            "--last-failed", str(report), expected=f"a report of schema {SCHEMA}",
            actual=f"schema {found.schema}", next_step="name a report of this version of frame-harness",
        )  # fmt: skip
    return frozenset(
        BrokenCheck(_place(of_run.run, one), one.clauses)
        for of_run in found.runs for one in of_run.checks if _is_broken(one)
    )  # fmt: skip


def _is_broken(one: _Check | CheckResult) -> bool:
    """Whether it has to be looked at again. What a check met on the way is met again by that check."""
    if one.source is Source.ON_THE_WAY:
        return False
    return one.outcome not in WELL or bool(one.hindered_by)


def _place(run: RunKey, one: _Check | CheckResult) -> CheckInRun:
    """Where it is found again: by a check, or before the first one of a run."""
    return CheckInRun(run=run, check="" if one.source is Source.PREFLIGHT else one.check, case=one.case)


def broken_last(subject: Subject) -> frozenset[BrokenCheck]:
    """The checks that were broken when they last ran on this file; none where none ever ran."""
    return frozenset(one for one in _noted(subject) if one.place.check)


def _noted(subject: Subject) -> frozenset[BrokenCheck]:
    """What was broken when it last ran on this file, as `broken_in` has it."""
    try:
        data = _note_of(subject).read_bytes()
    except FileNotFoundError:
        return frozenset()
    try:
        return frozenset(decode_json(data, tuple[BrokenCheck, ...]))
    except msgspec.MsgspecError:
        return frozenset()  # a note of another version: more is judged again than need be, never less


def remember(subject: Subject, results: Iterable[CheckResult]) -> None:
    """Note which checks were broken; what did not run stays as it was noted.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    results = tuple(results)
    broken = {BrokenCheck(_place(one.run, one), one.clauses) for one in results if _is_broken(one)}
    ran = {_place(one.run, one) for one in results} | {CheckInRun(run=one.run, check="") for one in results}
    _note(subject, broken | {one for one in _noted(subject) if one.place not in ran})


def remember_cases(subject: Subject, results: Sequence[CheckResult]) -> None:
    """Note the cases that show faults of a memory core, in place of those that were noted for the same runs.

    The cases of a clause that is not evaluated stay: nothing has shown that their fault is mended.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    ran = {one.run for one in results}
    unseen = {(one.run, one.clauses) for one in results if one.outcome is Outcome.NOT_EVALUATED}
    broken = {BrokenCheck(one.key, one.clauses) for one in results if one.case}
    noted = broken_last(subject)
    kept = {one for one in noted if one.place.run not in ran or (one.place.run, one.clauses) in unseen}
    _note(subject, broken | kept)


def _note(subject: Subject, broken: Iterable[BrokenCheck]) -> None:
    noted = sorted(broken)
    write_whole(_note_of(subject), msgspec.json.encode(noted))


def _note_of(subject: Subject) -> Path:
    # A frame module is judged by two contracts: alone, and as part of a memory core.
    key = f"{_FORMAT} {subject.contract.name} {subject.path}"
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:24]
    return resources.build_dir() / "last" / f"{name}.json"
