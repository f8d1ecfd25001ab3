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
from frame_harness.cli.options import LAST_RUN
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckInRun, CheckResult, Outcome, RunKey

_WELL: Final = frozenset({Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT})


def broken_before(report: Path | None, subject: Subject) -> frozenset[CheckInRun]:
    """What was broken in a report, or in the last run; nothing where nobody asks.

    Raises:
        UsageError: there is no such report.
    """
    if report is None:
        return frozenset()
    return broken_last(subject) if report == LAST_RUN else broken_in(report)


def words_for(report: Path) -> str:
    """How to call it in a sentence."""
    return "the last run" if report == LAST_RUN else str(report)


def narrowed(selection: str, report: Path) -> str:
    """What was asked for alone, in words, when it was that only."""
    return " of ".join(filter(None, [selection, f"what was broken in {words_for(report)}"]))


class _Check(msgspec.Struct, frozen=True):
    check: str
    outcome: Outcome
    case: str = ""


class _Run(msgspec.Struct, frozen=True):
    run: RunKey
    checks: tuple[_Check, ...]


class _Report(msgspec.Struct, frozen=True):
    """What is read of a JSON report."""

    runs: tuple[_Run, ...]


def broken_in(report: Path) -> frozenset[CheckInRun]:
    """The checks of a JSON report that were broken, each in its run.

    Raises:
        UsageError: there is no such file, or it is no such report.
    """
    try:
        runs = msgspec.json.decode(report.read_bytes(), type=_Report).runs
    except (OSError, msgspec.MsgspecError) as error:
        actual = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            "--last-failed", str(report), expected="a JSON report of frame-harness", actual=actual,
            next_step="name a file that `check --json` wrote",
        ) from error  # fmt: skip
    return frozenset(
        CheckInRun(run=of_run.run, check=one.check, case=one.case)
        for of_run in runs
        for one in of_run.checks
        if one.outcome not in _WELL
    )


def broken_last(subject: Subject) -> frozenset[CheckInRun]:
    """The checks that were broken when they last ran on this file; none where none ever ran."""
    try:
        data = _note_of(subject).read_bytes()
    except FileNotFoundError:
        return frozenset()
    try:
        return frozenset(msgspec.json.decode(data, type=tuple[CheckInRun, ...]))
    except msgspec.MsgspecError:
        return frozenset()  # a note of another version: more is judged again than need be, never less


def remember(subject: Subject, results: Iterable[CheckResult]) -> None:
    """Note which checks were broken; what did not run stays as it was noted.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    ran = {CheckInRun(run=one.run, check=one.check): one.outcome for one in results}
    broken = {check for check, outcome in ran.items() if outcome not in _WELL}
    _note(subject, broken | (broken_last(subject) - ran.keys()))


def remember_cases(subject: Subject, results: Sequence[CheckResult]) -> None:
    """Note the cases that show faults of a memory core, in place of those that were noted for the same runs.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    ran = {one.run for one in results}
    broken = {CheckInRun(run=one.run, check=one.check, case=one.case) for one in results if one.case}
    _note(subject, broken | {one for one in broken_last(subject) if one.run not in ran})


def _note(subject: Subject, broken: Iterable[CheckInRun]) -> None:
    noted = sorted(broken)
    write_whole(_note_of(subject), msgspec.json.encode(noted))


def _note_of(subject: Subject) -> Path:
    # A frame module is judged by two contracts: alone, and as part of a memory core.
    key = f"{subject.contract.name} {subject.path}"
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:24]
    return resources.build_dir() / "last" / f"{name}.json"
