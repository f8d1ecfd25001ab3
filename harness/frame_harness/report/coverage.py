"""Which lines of the subject ran, for a person."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frame_harness.base.text import plural
from frame_harness.coverage import words
from frame_harness.coverage.lines import Coverage, SourceCoverage
from frame_harness.report.blocks import LABEL


def coverage_parts(coverage: Coverage | None) -> Iterator[RenderableType]:
    """A part for each file: how much of it ran, and the functions that did not run whole."""
    for source in coverage.sources if coverage else ():
        yield Group(*_of_a_file(source))


def _of_a_file(source: SourceCoverage) -> Iterator[RenderableType]:
    head, _, facts = words.total(source).partition(": ")
    yield Text.assemble((head, "bold"), "  ", (facts, LABEL))
    rows = words.rows(source)
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=LABEL, show_edge=False)
    table.add_column("function", overflow="fold")
    for column in ("lines", "hit", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("not reached", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    yield table
    if others := len(source.functions) - len(rows):
        yield Text(f"each line of {plural(others, 'other function')} was reached", style=LABEL)
