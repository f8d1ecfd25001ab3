"""Checks that report files can be written, and deletes those of an earlier run before this one."""

import contextlib
import errno
import fcntl
import os
import re
import select
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frame_harness.base.disk import Unwritable, writing
from frame_harness.base.errors import UsageError
from frame_harness.base.paths import real


@dataclass(frozen=True)
class ReportFiles:
    """Where reports go; None for none."""

    json: Path | None = None
    junit: Path | None = None
    sarif: Path | None = None
    code_quality: Path | None = None
    html: Path | None = None
    upstream: Path | None = None
    """A folder."""
    out: Path | None = None
    """The folder for the evidence; None for one among those of the last runs."""

    @property
    def of_one_file(self) -> tuple[Path | None, ...]:
        """Those that are one file each; see `make_way`."""
        return self.json, self.junit, self.sarif, self.code_quality, self.html


_STREAMS: Final = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")
NO_REPORTS: Final = ReportFiles()


def make_way(
    reports: Iterable[Path | None], sources: Iterable[Path | None], kept: Iterable[Path] = ()
) -> None:
    """Remove what an earlier run left: one that ends without a verdict must not leave the last one's.

    Args:
        sources: files of the run that may not be overwritten; of a folder, its Rust files.
        kept: files that may not be overwritten; of a folder, anything.
    Raises:
        UsageError: a report cannot be written where it should go.
        Unwritable: there is no room, or no leave.
    """
    read, kept = [path for path in sources if path], tuple(kept)
    named: list[Path] = []
    for report in filter(None, reports):
        place = real(report)
        require_apart("report", report, read, kept)
        if place.is_fifo() and _open_here(report) is None:
            raise UsageError(
                "report", str(report), detail="a pipe with a name, whose reader would not wait for the run",
                next_step="name a file, or write to a command: >(…)",
            )  # fmt: skip
        if place in named and (report.is_file() or not report.exists()):
            raise UsageError(
                "report", str(report), detail="named twice", next_step="name a file for each report"
            )
        folder = report.absolute().parent
        if not folder.is_dir():
            raise UsageError(
                "report",
                str(report),
                detail="its folder does not exist",
                next_step=shlex.join(["mkdir", "-p", str(folder)]),
            )
        try:
            with writing(report, instead="name another file"):
                _require_writable(report)
        except OSError as error:
            raise UsageError(
                "report", str(report), detail=f"cannot be written: {error.strerror}",
                next_step="name another file",
            ) from error  # fmt: skip
        named.append(place)
        _drop(report)


def require_apart(what: str, named: Path, sources: Iterable[Path] = (), kept: Iterable[Path] = ()) -> None:
    """Refuse to write where the run itself reads or keeps something.

    Args:
        what: is written there: a report, or a folder of texts.
        sources, kept: as in `make_way`.
    Raises:
        UsageError: it lies there.
    """
    place = real(named)
    if any(_is_of(real(one), place) for one in sources) or any(
        place.is_relative_to(real(one)) for one in kept
    ):
        raise UsageError(
            what, str(named), detail="the run itself reads that file, or keeps evidence there",
            next_step="name another one",
        )  # fmt: skip


def _open_here(report: Path) -> int | None:
    """The descriptor of this process that a path names, as `>(…)` of a shell and /dev/stdout do.

    It is written to as it is. Who opened it again would wait for ever at a pipe whose reader has gone, could
    not have a socket, and would write over what else goes to the same file.
    """
    if (name := str(report)) in _STREAMS:
        return _STREAMS[name]
    found = _DESCRIPTOR.fullmatch(name)
    return int(found[1]) if found else None


def _require_writable(report: Path) -> None:
    """Raise an OSError where a report cannot be written; make its file where it is one."""
    number = _open_here(report)
    if number is None:
        report.open("w").close()
    elif fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "it is open for reading alone")


def _write(report: Path, data: bytes) -> None:
    number = _open_here(report)
    if number is None:
        report.write_bytes(data)
        return
    for stream in (sys.stdout, sys.stderr):  # what was said before comes first
        stream.flush()
    while data:
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:
            select.select([], [number], [])


def _is_of(read: Path, report: Path) -> bool:
    return report == read or (report.suffix == ".rs" and read.is_dir() and report.is_relative_to(read))


def write(reports: Mapping[Path, str]) -> None:
    """Write all reports; what one cannot have, another may.

    Raises:
        Unwritable: there was room, or leave, when the run began, and there is not any more.
        OSError: it went wrong otherwise.
    """
    failed: list[Exception] = []
    for report, text in reports.items():
        try:
            with writing(report, instead="name another file"):
                _write(report, text.encode())
        except (OSError, Unwritable) as error:
            _drop(report)  # a part would be read as a whole
            failed.append(error)
        except BaseException:  # Ctrl-C
            _drop(report)
            raise
    if failed:
        raise failed[0]


def _drop(report: Path) -> None:
    """Remove a plain file; a pipe or a device stays, and so does a link, or a file in a folder of others."""
    if report.is_file() and not report.is_symlink():
        with contextlib.suppress(OSError):
            report.unlink()
