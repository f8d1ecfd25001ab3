"""Shows a source beside the checks that ran its lines, from a JSON report."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from frame_harness.archive import files
from frame_harness.base.errors import UsageError
from frame_harness.base.reading import bytes_of
from frame_harness.base.record import decode_json
from frame_harness.base.text import plural, printable
from frame_harness.coverage.lines import Coverage, LineState, SourceCoverage
from frame_harness.coverage.words import total
from frame_harness.image.subject import BUILTIN_NAME

_MARKS = {LineState.NOT_HIT: "not hit", LineState.NOT_IN_KERNEL: "no code"}
_WIDTH = 10


class _File(msgspec.Struct, frozen=True):
    path: str
    sha256: str


class _Subject(msgspec.Struct, frozen=True):
    name: str = ""
    path: str = ""
    files: tuple[_File, ...] = ()


class _Report(msgspec.Struct, frozen=True):
    """What is read of a JSON report."""

    coverage: Coverage | None = None
    subject: _Subject = _Subject()


def shown(report: Path, line: int | None) -> Iterator[str]:
    """Return the source, each line with how many checks ran it; or the checks that ran one line.

    Raises:
        UsageError: it is no report with coverage; no source has code in that line; the text of a source that
            was judged is not there any more.
    """
    coverage, subject = _read(report)
    sources = coverage.sources if line is None else _with_code(coverage, line)
    for source in sources:
        yield total(source)
        if line is None:
            yield from _annotated(source, _text(source, subject, report))
        else:
            yield from _checks(source, line)


def _with_code(coverage: Coverage, line: int) -> tuple[SourceCoverage, ...]:
    found = tuple(source for source in coverage.sources if source.state_of(line) is not None)
    if not found:
        raise UsageError(
            "coverage", ", ".join(f"{source.path}:{line}" for source in coverage.sources),
            expected="a line with code", actual="one without",
            next_step="leave the number away to see which lines have code",
        )  # fmt: skip
    return found


def _read(report: Path) -> tuple[Coverage, _Subject]:
    """The coverage in a report, and what was judged."""
    coverage, actual = None, "one without coverage"
    subject = _Subject()
    try:
        read = decode_json(bytes_of(report), _Report)
        coverage, subject = read.coverage, read.subject
    except (OSError, msgspec.MsgspecError) as error:
        actual = str(error.strerror if isinstance(error, OSError) else error)
    if coverage is None:
        raise UsageError(
            "coverage", str(report), expected="a JSON report of frame-harness with coverage", actual=actual,
            next_step="name a file that `frame-harness check --cov --json FILE` wrote",
        )  # fmt: skip
    return coverage, subject


def _text(source: SourceCoverage, subject: _Subject, report: Path) -> str:
    """The text that was judged: the file's as it is now, or a copy in the archive that the report lies in.

    Nothing else is shown: a report that somebody sent may name any file.
    """
    sha256 = next((one.sha256 for one in subject.files if one.path == source.path), None)
    actual: str | None = "another one" if sha256 else "no sum of it in the report"
    copies = sorted((report.parent / files.SOURCES).rglob("*"))
    for file in (Path(source.path), *(one for one in copies if one.is_file())) if sha256 else ():
        try:
            content = bytes_of(file)
        except OSError as error:
            actual = error.strerror
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            return content.decode("utf-8", errors="replace")
    named = ["--frame-rs", subject.path] if subject.path and subject.name != BUILTIN_NAME else []
    again = shlex.join(["frame-harness", "check", *named, "--cov", "--json", str(report)])
    raise UsageError(
        "coverage", source.path, expected="the text that was judged", actual=actual,
        next_step=f"make the report again: {again}",
    )  # fmt: skip


def _annotated(source: SourceCoverage, text: str) -> Iterator[str]:
    # The compiler ends lines at "\n" alone; other line ends would shift the numbers.
    for number, words in enumerate(text.removesuffix("\n").split("\n"), 1):
        plain = printable(words.removesuffix("\r"))
        yield f"{_mark(source, number):>{_WIDTH}}  {number:5}  {plain}".rstrip()


def _mark(source: SourceCoverage, line: int) -> str:
    """Return `12 checks`, `not hit`, or nothing for a line without code."""
    state = source.state_of(line)
    if state is LineState.HIT:
        return plural(len(source.checks_of(line)), "check")
    return _MARKS[state] if state else ""


def _checks(source: SourceCoverage, line: int) -> Iterator[str]:
    yield f"{source.path}:{line} {source.state_of(line)}"
    yield from (f"  {name}" for name in source.checks_of(line))
