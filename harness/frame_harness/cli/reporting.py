"""Shows a verdict, and writes the reports that were asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from frame_harness.base import report_files
from frame_harness.base.program import program
from frame_harness.base.report_files import ReportFiles
from frame_harness.base.text import printable
from frame_harness.base.version import number
from frame_harness.cli import upstream
from frame_harness.cli.ci import add_summary, in_github_actions, root_of
from frame_harness.contract.contract import Contract
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import CheckInRun, Evidence
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.judge.verdict import Verdict
from frame_harness.publishing.run_archive import RunArchive, shown
from frame_harness.report import code_quality, json_report, junit, sarif
from frame_harness.report.terminal import print_report


@dataclass(frozen=True)
class Made:
    """What the checks of a subject came to, before a verdict.

    Attributes:
        notes: what could not be kept of failing checks.
    """

    evidence: Evidence
    images: tuple[Image, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examined:
    """What a run saw of a subject, and what follows from it."""

    evidence: Evidence
    verdict: Verdict
    known: Baseline
    subject: Subject
    required: tuple[str, ...] = ()
    """Clauses that must have been looked at."""
    images: tuple[Image, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be kept of failing checks."""


def publish_and_keep(
    found: Examined, kept: RunArchive | None, console: Console, reports: ReportFiles
) -> ExitCode:
    """Close the run's archive, then do as `publish` does: the verdict is the last line.

    Raises:
        Unwritable, OSError: a file could not be written; the others were, and the report is printed.
    """
    try:
        keep(found, kept)
    finally:
        status = publish(found, console, reports, kept.failures() if kept else {})
    return status


def publish(
    found: Examined, console: Console, reports: ReportFiles, kept: Mapping[CheckInRun, Path]
) -> ExitCode:
    """Print the report, write the files, return the process exit status.

    Args:
        kept: the folders with what guests of checks left.
    Raises:
        Unwritable, OSError: a file could not be written; the others were.
    """
    evidence, verdict = found.evidence, found.verdict
    root = root_of(found.subject.path)
    with in_github_actions(evidence, verdict, root):
        show(evidence, verdict, found.known, console, found.subject.contract, kept=kept)
    try:
        report_files.write({file: dumps() for file, dumps in _writers(found, reports, root) if file})
    finally:
        add_summary(evidence, verdict, root)
    if saved := upstream.save(reports.upstream, evidence, verdict, found.subject):
        console.print(saved, soft_wrap=True)
    return exit_code(verdict.kind)


def show(
    evidence: Evidence,
    verdict: Verdict,
    known: Baseline,
    console: Console,
    contract: Contract,
    copies: Mapping[str, Path] | None = None,
    kept: Mapping[CheckInRun, Path] | None = None,
) -> None:
    """Print the report; `copies` of the judged files and `kept` folders as in `print_report`."""
    explained = contract.explanations is not None
    print_report(
        evidence, verdict, known, console, contract.slot, explained=explained, copies=copies, kept=kept
    )
    if evidence.interrupted:
        console.print("interrupted; every guest is gone")


def _writers(
    found: Examined, reports: ReportFiles, root: Path
) -> Iterator[tuple[Path | None, Callable[[], str]]]:
    evidence, verdict, known = found.evidence, found.verdict, found.known
    yield reports.json, partial(json_report.dumps, evidence, verdict, known)
    yield reports.junit, partial(junit.dumps, evidence, verdict, known)
    yield reports.sarif, partial(_sarif, found, root)
    yield reports.code_quality, partial(code_quality.dumps, evidence, verdict, root)


def _sarif(found: Examined, root: Path) -> str:
    return sarif.dumps(found.evidence, found.verdict, found.subject.contract.clauses, root, number())


def keep(found: Examined, kept: RunArchive | None) -> None:
    """Close a run's archive; say on standard error where it is, and what could not be kept.

    Raises:
        Unwritable: the evidence could not be written where the user wants it.
    """
    if kept is None:
        return
    from frame_harness.session.leavings import contents_of  # noqa: PLC0415  what only shows keeps nothing

    contents = contents_of(
        found.evidence, found.subject, found.images, found.notes, found.known, found.required
    )
    for note in kept.finish(contents):
        print(f"not kept: {printable(note)}", file=sys.stderr)
    if not kept.is_whole:
        return
    folder = shown(kept.folder)
    print(f"evidence: {folder} ({program()} show {folder})", file=sys.stderr)
