"""Adds up what processes saw of a subject's lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frame_harness.coverage.lines import (
    Coverage,
    FunctionCoverage,
    LineCoverage,
    LineState,
    Reached,
    SourceCoverage,
)
from frame_harness.image.code_lines import CodeLines
from frame_harness.image.line_table import Spot


def summary(lines: CodeLines, reached: Iterable[Reached]) -> Coverage:
    """Return the coverage of a subject.

    Args:
        lines: of the image that ran.
        reached: what each process saw of each check.
    """
    ran = _by_check(reached)
    here = {(spot.file, spot.line) for row in lines.table.rows for spot in row.spots}
    checks: dict[Spot, set[str]] = {spot: set() for spot in lines.spots}
    for check, numbers in ran.items():
        for number in numbers:
            checks[lines.spots[number]].add(check)
    files = sorted({spot.file for spot in lines.spots})
    return Coverage(
        sources=tuple(
            _source(
                file,
                {spot: checks[spot] for spot in lines.spots if spot.file == file},
                {line for source, line in here if source == file},
            )
            for file in files
        )
    )


def _by_check(reached: Iterable[Reached]) -> dict[str, set[int]]:
    """Return what each check ran; each of a group has what all of them ran."""
    reached = list(reached)
    groups: dict[str, set[int]] = {}
    for one in reached:
        if one.group:
            groups.setdefault(one.group, set()).update(one.spots)
    found: dict[str, set[int]] = {}
    for one in reached:
        found.setdefault(one.check, set()).update(groups[one.group] if one.group else one.spots)
    return found


def _source(file: str, checks: Mapping[Spot, set[str]], compiled: set[int]) -> SourceCoverage:
    names = sorted({name for each in checks.values() for name in each})
    places = {name: place for place, name in enumerate(names)}
    by_line: dict[int, set[str]] = {}
    for spot, each in checks.items():
        by_line.setdefault(spot.line, set()).update(each)
    functions: dict[str, set[int]] = {}
    for spot in checks:
        functions.setdefault(spot.function, set()).add(spot.line)
    return SourceCoverage(
        path=file,
        checks=tuple(names),
        lines=tuple(
            LineCoverage(
                line=line,
                state=_state(ran=bool(each), is_compiled=line in compiled),
                checks=tuple(sorted(places[name] for name in each)),
            )
            for line, each in sorted(by_line.items())
        ),
        functions=tuple(
            FunctionCoverage(name=name, lines=tuple(sorted(own)))
            for name, own in sorted(functions.items(), key=lambda each: min(each[1]))
        ),
    )


def _state(*, ran: bool, is_compiled: bool) -> LineState:
    if ran:
        return LineState.HIT
    return LineState.NOT_HIT if is_compiled else LineState.NOT_IN_KERNEL
