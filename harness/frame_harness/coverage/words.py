"""Coverage in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from frame_harness.base.text import percent, plural, printable
from frame_harness.coverage.lines import Coverage, SourceCoverage


class FunctionRow(NamedTuple):
    """A function that did not run whole: its lines, those that ran, the share of these, the other ones."""

    name: str
    lines: str
    hit: str
    share: str
    unreached: str


def total(source: SourceCoverage) -> str:
    """`coverage of frame.rs: 98.2 % of the lines (277 of 282), 70 of 72 functions`."""
    hit, of = source.n_hit, len(source.lines)
    ran = sum(source.hit(one.lines) > 0 for one in source.functions)
    return (
        f"coverage of {printable(Path(source.path).name)}: {percent(hit, of)} of the lines ({hit} of {of}), "
        f"{ran} of {plural(len(source.functions), 'function')}"
    )


def rows(source: SourceCoverage) -> list[FunctionRow]:
    """Every function of which a line did not run, in the order of the text."""
    return [
        FunctionRow(
            printable(one.name),
            str(len(one.lines)),
            str(hit),
            percent(hit, len(one.lines)),
            " ".join(source.unreached(one)),
        )
        for one in source.functions
        if (hit := source.hit(one.lines)) < len(one.lines)
    ]


def lines(coverage: Coverage) -> Iterator[str]:
    """Everything as plain lines."""
    for source in coverage.sources:
        yield total(source)
        for row in rows(source):
            yield f"  {row.name}: {row.share}, {row.hit} of {row.lines} lines; not reached: {row.unreached}"
