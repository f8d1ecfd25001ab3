"""Shows a verdict, and writes the reports that were asked for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from frame_harness.base import report_files
from frame_harness.base.program import program
from frame_harness.base.text import printable
from frame_harness.cli import upstream
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.judge.verdict import Verdict
from frame_harness.publishing.run_archive import ArchivedImage, Contents, RunArchive, shown
from frame_harness.report import json_report, junit
from frame_harness.report.terminal import print_report


class Reports(Protocol):
    """Where reports go; None for none."""

    @property
    def json(self) -> Path | None: ...

    @property
    def junit(self) -> Path | None: ...

    @property
    def upstream(self) -> Path | None: ...


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
    found: Examined, kept: RunArchive | None, console: Console, reports: Reports
) -> ExitCode:
    """Close the run's archive, then do as `publish` does: the verdict is the last line.

    Raises:
        Unwritable, OSError: a file could not be written; the others were, and the report is printed.
    """
    try:
        keep(found, kept)
    finally:
        status = publish(found, console, reports)
    return status


def publish(found: Examined, console: Console, reports: Reports) -> ExitCode:
    """Print the report, write the files, return the process exit status.

    Raises:
        Unwritable, OSError: a file could not be written; the others were.
    """
    evidence, verdict, known = found.evidence, found.verdict, found.known
    show(evidence, verdict, known, console)
    writers = {reports.json: json_report.dumps, reports.junit: junit.dumps}
    report_files.write({file: dumps(evidence, verdict, known) for file, dumps in writers.items() if file})
    if saved := upstream.save(reports.upstream, evidence, verdict, found.subject):
        console.print(saved, soft_wrap=True)
    return exit_code(verdict.kind)


def show(evidence: Evidence, verdict: Verdict, known: Baseline, console: Console) -> None:
    """Print the report."""
    print_report(evidence, verdict, known, console)
    if evidence.interrupted:
        console.print("interrupted; every guest is gone")


def keep(found: Examined, kept: RunArchive | None) -> None:
    """Close a run's archive; say on standard error where it is, and what could not be kept.

    Raises:
        Unwritable: the evidence could not be written where the user wants it.
    """
    if kept is None:
        return
    files = {*found.subject.files, *(Path(file) for image in found.images for file, _ in image.sources)}
    contents = Contents(
        contract=found.subject.contract,
        evidence=found.evidence,
        baseline=found.known,
        required=found.required,
        images=tuple(ArchivedImage(image.elf, image.sha256) for image in found.images),
        sources=tuple(files),
        notes=found.notes,
    )
    for note in kept.finish(contents):
        print(f"not kept: {printable(note)}", file=sys.stderr)
    if not kept.is_whole:
        return
    folder = shown(kept.folder)
    print(f"evidence: {folder} ({program()} show {folder})", file=sys.stderr)
