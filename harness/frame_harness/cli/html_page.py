"""Writes the HTML report where a user wants it."""

from __future__ import annotations

from pathlib import Path

from frame_harness.base import report_files
from frame_harness.cli.reporting import Examined
from frame_harness.publishing.reports import PAGE
from frame_harness.publishing.run_archive import RunArchive


def save_page(path: Path | None, found: Examined, kept: RunArchive | None) -> None:
    """Write the page, that of the run's archive where there is one: it shows memory, too; None for none.

    Raises:
        Unwritable, OSError: it could not be written.
    """
    if path is None:
        return
    if kept is not None and (page := kept.folder / PAGE).is_file():
        report_files.write({path: page.read_text(encoding="utf-8")})
        return
    # Only who wants a page waits for what makes it.
    from frame_harness.html_report.excerpt import sources_of  # noqa: PLC0415
    from frame_harness.html_report.page import dumps  # noqa: PLC0415

    evidence = found.evidence
    covered = evidence.coverage.sources if evidence.coverage else ()
    text = dumps(
        evidence, found.verdict, found.known, found.subject.contract, sources=sources_of(evidence),
        coverage=covered,
    )  # fmt: skip
    report_files.write({path: text})
