"""The report files: refused before a run when they cannot be written, gone until it has a verdict."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from frame_harness.base.errors import HarnessError, UsageError


def make_way(reports: Iterable[Path | None], sources: Iterable[Path | None]) -> None:
    """Remove what an earlier run left: one that ends without a verdict must not leave the last one's.

    Args:
        sources: files that the run reads, none of which may be overwritten.
    Raises:
        UsageError: a report cannot be written where it should go.
    """
    read = [path.resolve() for path in sources if path]
    named: list[Path] = []
    for report in filter(None, reports):
        if report.resolve() in read:
            raise UsageError(
                "report", str(report), detail="the run itself reads that file", next_step="name another file"
            )
        if report.resolve() in named and (report.is_file() or not report.exists()):
            raise UsageError(
                "report", str(report), detail="named twice", next_step="name a file for each report"
            )
        folder = report.absolute().parent
        if not folder.is_dir():
            raise UsageError(
                "report", str(report), detail="its folder does not exist", next_step=f"mkdir -p {folder}"
            )
        try:
            report.open("w").close()
        except OSError as error:
            raise UsageError("report", str(report), detail=f"cannot be written: {error.strerror}") from error
        named.append(report.resolve())
        _drop(report)


def write(report: Path, text: str) -> None:
    """Write one report.

    Raises:
        HarnessError: it could be written when the run began, and cannot any more.
    """
    try:
        report.write_text(text, encoding="utf-8")
    except OSError as error:
        _drop(report)  # a part would be read as a whole
        raise HarnessError("report", str(report), detail=f"cannot be written: {error.strerror}") from error


def _drop(report: Path) -> None:
    """Remove a plain file; a pipe or a device stays, and so does a link, or a file in a folder of others."""
    if report.is_file() and not report.is_symlink():
        with contextlib.suppress(OSError):
            report.unlink()
