"""Runs the measurements that were asked for, prints them as a table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

from rich.console import Console
from rich.table import Table

from frame_harness.base.errors import UsageError
from frame_harness.bench.earlier import earlier, remember
from frame_harness.bench.rows import Row

MODULES = ("boot", "campaigns", "console", "histories", "storms", "tables", "verdicts")
ASKED_FOR = ("suite",)
"""Measurements that take longer than all others together; made where they are named."""


class BenchModule(Protocol):
    """A module of this package."""

    def measure(self) -> Iterator[Row]: ...


def bench(names: Sequence[str], console: Console) -> bool:
    """Measure; returns whether every goal was reached.

    Args:
        names: modules of this package; `MODULES` when empty.
    Raises:
        UsageError: no such measurement.
    """
    for name in names:
        if name not in MODULES + ASKED_FOR:
            raise UsageError(
                "bench",
                name,
                detail="no such measurement",
                next_step=f"known: {', '.join(MODULES + ASKED_FOR)}",
            )
    rows = [
        row
        for name in names or MODULES
        for row in cast("BenchModule", importlib.import_module(f"frame_harness.bench.{name}")).measure()
    ]
    console.print(table_of(rows, earlier()))
    remember(rows)
    return all(row.met is not False for row in rows)


def table_of(rows: Sequence[Row], before: Mapping[str, Sequence[float]]) -> Table:
    """One measurement a line, beside its floor.

    Args:
        before: earlier ratios by the names of rows, oldest first.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("what", "time", "beside", "time", "ratio", "earlier", "goal"):
        table.add_column(column, justify="left" if column in ("what", "beside") else "right")
    for row in rows:
        table.add_row(*_cells(row, before.get(row.name, ())))
    return table


def _cells(row: Row, before: Sequence[float]) -> tuple[str, ...]:
    mark = {True: "reached", False: "missed", None: ""}[row.met]
    return (
        row.name,
        f"{row.value:.2f} {row.unit}",
        row.floor_name,
        f"{row.floor:.2f} {row.unit}",
        f"{row.ratio:.2f}",
        " ".join(f"{ratio:.2f}" for ratio in before),
        f"{row.goal} {mark}".strip(),
    )
