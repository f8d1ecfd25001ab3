"""Prints which corruption is noticed by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_histories.matrix import MatrixRow, matrix
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.machine.firmware import require_host

COLUMNS = ("frame", "field", "corruption", "kernel panics at", "invariants")
LEAST_WIDTHS = (11, 14, 13, 12, 18)
NOBODY = "nobody"


def show_matrix(
    frame_rs: Path | None, machine: str, profile: str, console: Console, *, markdown: bool = False
) -> ExitCode:
    """Corrupt a guest in every way there is; FAIL when an invariant fires that should not, or the reverse.

    Raises:
        HarnessError: the subject does not build, or the machine does not run.
    """
    subject = frame_module(frame_rs)
    definition = load_machine(machine)
    require_host(definition)
    host = OwnHost(build(subject, profile), definition)
    rows = list(matrix(host))
    if markdown:
        console.print("\n".join(markdown_of(rows)), soft_wrap=True)
    else:
        console.print(table_of(rows), crop=False)
    console.print(summary(rows))
    unexpected = [row for row in rows if not row.as_expected]
    for row in unexpected:
        wanted = ", ".join(sorted(row.corruption.fires)) or "none"
        console.print(f"{row.corruption.name}: expected {wanted}, got {', '.join(row.invariants) or 'none'}")
    return ExitCode.FAIL if unexpected else ExitCode.PASS


def cells(row: MatrixRow) -> tuple[str, str, str, str, str]:
    """One row of the table; it is marked where nobody noticed."""
    corruption = row.corruption
    ids = ", ".join(id_.removeprefix("W-") for id_ in row.invariants)
    nobody = NOBODY if not row.noticed else ""
    panics = ", ".join(op.words for op in row.panics)
    return corruption.kind, corruption.field, corruption.change, panics, ids or nobody


def table_of(rows: Iterable[MatrixRow]) -> Table:
    """The rows as a table for a terminal, no column narrower than `LEAST_WIDTHS` says."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column, width in zip(COLUMNS, LEAST_WIDTHS, strict=True):
        table.add_column(column, min_width=width)
    for row in rows:
        table.add_row(*cells(row))
    return table


def markdown_of(rows: Iterable[MatrixRow]) -> Iterator[str]:
    """The rows as lines of a table in Markdown, its two head lines first."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---" * len(COLUMNS) + "|"
    for row in rows:
        yield "| " + " | ".join(cells(row)) + " |"


def summary(rows: Sequence[MatrixRow]) -> str:
    """How many are noticed by whom."""
    kernel = sum(bool(row.panics) for row in rows)
    invariants = sum(bool(row.invariants) for row in rows)
    nobody = sum(not row.noticed for row in rows)
    return (
        f"{len(rows)} corruptions: {kernel} make the kernel panic, {invariants} violate invariants, "
        f"{nobody} are noticed by nobody"
    )
