"""Which lines of a subject ran, as values."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from itertools import groupby

from frame_harness.base.record import Record


class LineState(StrEnum):
    """What became of a line that has code."""

    HIT = "hit"
    NOT_HIT = "not-hit"
    NOT_IN_KERNEL = "not-in-kernel"  # the compiler left it out of this kernel, where nobody calls it


class LineCoverage(Record, frozen=True, kw_only=True):
    """One line; `checks` are those that ran it, as places in `SourceCoverage.checks`.

    A line is hit where at least one of its instructions ran.
    """

    line: int
    state: LineState
    checks: tuple[int, ...] = ()


class FunctionCoverage(Record, frozen=True, kw_only=True):
    """One function, its closures and what it inlines included; `lines` are those with code of its own."""

    name: str
    lines: tuple[int, ...]

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.lines[0]


class SourceCoverage(Record, frozen=True, kw_only=True, dict=True):
    """One source file: every line that has code, in order.

    `checks` are the names of all checks that ran any line.
    """

    path: str
    lines: tuple[LineCoverage, ...]
    functions: tuple[FunctionCoverage, ...]
    checks: tuple[str, ...]

    @cached_property
    def _states(self) -> dict[int, LineState]:
        return {one.line: one.state for one in self.lines}

    def state_of(self, line: int) -> LineState | None:
        """What became of a line; None where it has no code."""
        return self._states.get(line)

    def checks_of(self, line: int) -> tuple[str, ...]:
        """The names of the checks that ran a line."""
        found = next((one for one in self.lines if one.line == line), None)
        return tuple(self.checks[place] for place in found.checks) if found else ()

    def hit(self, lines: Iterable[int]) -> int:
        """How many of these lines ran."""
        return sum(self.state_of(line) is LineState.HIT for line in lines)

    @property
    def n_hit(self) -> int:
        """How many lines ran."""
        return self.hit(self._states)

    def unreached(self, function: FunctionCoverage | None = None) -> tuple[str, ...]:
        """The lines that did not run, of one function or of all, as ranges: `12`, `20-24`.

        A range goes on over lines without code.
        """
        chosen = set(function.lines) if function else set(self._states)
        lines = [line for line in sorted(self._states) if line in chosen]
        parts = groupby(lines, key=lambda line: self.state_of(line) is not LineState.HIT)
        missed = [list(part) for is_missed, part in parts if is_missed]
        return tuple(f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in missed)


class Coverage(Record, frozen=True, kw_only=True):
    """All files of a subject.

    Two names stand for no check: `boot` is what every guest runs on its way to the prompt, `preflight` what
    each run compares before its first check.
    """

    sources: tuple[SourceCoverage, ...]

    @property
    def n_lines(self) -> int:
        """How many lines have code."""
        return sum(len(source.lines) for source in self.sources)

    @property
    def n_hit(self) -> int:
        """How many lines ran, over all sources."""
        return sum(source.n_hit for source in self.sources)


class Reached(Record, frozen=True, kw_only=True):
    """What a check ran, in one process: places in the image's list of lines."""

    check: str
    group: str = ""
    spots: tuple[int, ...]
