"""Writes the HTML report where a user wants it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frame_harness.base import report_files
from frame_harness.cli.reporting import Examined
from frame_harness.judge.evidence import CheckInRun

if TYPE_CHECKING:
    from frame_harness.html_report.memory import Memory


def save_page(
    path: Path | None, found: Examined, memories: Mapping[CheckInRun, Memory] | None = None
) -> None:
    """Write the page; None for none.

    Args:
        memories: what is known of the memory behind failing checks.
    Raises:
        Unwritable, OSError: it could not be written.
    """
    if path is None:
        return
    # Only who wants a page waits for what makes it.
    from frame_harness.html_report.excerpt import sources_of  # noqa: PLC0415
    from frame_harness.html_report.page import dumps  # noqa: PLC0415

    text = dumps(
        found.evidence, found.verdict, found.known, found.subject.contract, memories,
        sources=sources_of(found.evidence),
    )  # fmt: skip
    report_files.write({path: text})
