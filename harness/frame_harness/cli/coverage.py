"""Shows a source beside the checks that ran its lines, from a JSON report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from frame_harness.base.errors import UsageError
from frame_harness.base.text import plural, printable
from frame_harness.coverage.lines import Coverage, LineState, SourceCoverage
from frame_harness.coverage.words import total

_MARKS = {LineState.NOT_HIT: "not hit", LineState.NOT_IN_KERNEL: "no code"}
_WIDTH = 10


class _Report(msgspec.Struct, frozen=True):
    """What is read of a JSON report."""

    coverage: Coverage | None = None


def shown(report: Path, line: int | None) -> Iterator[str]:
    """Return the source, each line with how many checks ran it; or the checks that ran one line.

    Raises:
        UsageError: it is no report with coverage; the line has no code; a source is not there any more.
    """
    for source in _coverage_in(report).sources:
        yield total(source)
        yield from _annotated(source) if line is None else _checks(source, line)


def _coverage_in(report: Path) -> Coverage:
    coverage, actual = None, "one without coverage"
    try:
        coverage = msgspec.json.decode(report.read_bytes(), type=_Report).coverage
    except (OSError, msgspec.MsgspecError) as error:
        actual = str(error.strerror if isinstance(error, OSError) else error)
    if coverage is None:
        raise UsageError(
            "coverage", str(report), expected="a JSON report of frame-harness with coverage", actual=actual,
            next_step=f"frame-harness check --cov --json {report}",
        )  # fmt: skip
    return coverage


def _annotated(source: SourceCoverage) -> Iterator[str]:
    try:
        text = Path(source.path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError("coverage", source.path, expected="the source", actual=error.strerror) from error
    for number, words in enumerate(text.splitlines(), 1):
        yield f"{_mark(source, number):>{_WIDTH}}  {number:5}  {printable(words)}".rstrip()


def _mark(source: SourceCoverage, line: int) -> str:
    """Return `12 checks`, `not hit`, or nothing for a line without code."""
    state = source.state_of(line)
    if state is LineState.HIT:
        return plural(len(source.checks_of(line)), "check")
    return _MARKS[state] if state else ""


def _checks(source: SourceCoverage, line: int) -> Iterator[str]:
    state = source.state_of(line)
    if state is None:
        raise UsageError(
            "coverage", f"{source.path}:{line}", expected="a line with code", actual="one without"
        )
    yield f"{source.path}:{line} {state}"
    yield from (f"  {name}" for name in source.checks_of(line))
