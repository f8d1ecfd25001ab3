"""Shows a verdict, and writes the reports that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from frame_harness.base import report_files
from frame_harness.cli import upstream
from frame_harness.image.subject import Subject
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.judge.verdict import Verdict
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


def publish(found: Examined, console: Console, reports: Reports) -> ExitCode:
    """Print the report, write the files, return the process exit status.

    Raises:
        Unwritable, OSError: a file could not be written; the others were.
    """
    evidence, verdict, known = found.evidence, found.verdict, found.known
    print_report(evidence, verdict, known, console, found.subject.contract.slot)
    writers = {reports.json: json_report.dumps, reports.junit: junit.dumps}
    report_files.write({file: dumps(evidence, verdict, known) for file, dumps in writers.items() if file})
    if saved := upstream.save(reports.upstream, evidence, verdict, found.subject):
        console.print(saved, soft_wrap=True)
    if evidence.interrupted:
        console.print("interrupted; every guest is gone")
    return exit_code(verdict.kind)
