"""Which checks were broken before: in the last run of a subject, or in a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from frame_harness.base import resources
from frame_harness.base.errors import UsageError
from frame_harness.image.store import write_whole
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckInRun, CheckResult, Outcome, RunKey

_WELL = frozenset({Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT})


class _Check(msgspec.Struct, frozen=True):
    check: str
    outcome: Outcome


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
        CheckInRun(run=of_run.run, check=one.check)
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
    return frozenset(msgspec.json.decode(data, type=tuple[CheckInRun, ...]))


def remember(subject: Subject, results: Iterable[CheckResult]) -> None:
    """Note which checks were broken; what did not run stays as it was noted.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    ran = {CheckInRun(run=one.run, check=one.check): one.outcome for one in results}
    broken = {check for check, outcome in ran.items() if outcome not in _WELL}
    noted = sorted(broken | (broken_last(subject) - ran.keys()))
    write_whole(_note_of(subject), msgspec.json.encode(noted))


def _note_of(subject: Subject) -> Path:
    name = hashlib.sha256(str(subject.path).encode(errors="surrogateescape")).hexdigest()[:24]
    return resources.build_dir() / "last" / f"{name}.json"
