"""In a pipe every record is one line, nothing is wrapped or cut."""

from __future__ import annotations

import io

from rich.console import Console

from frame_harness.bench.rows import Row
from frame_harness.cli.bench import table_of as bench_table
from frame_harness.cli.matrix import table_of
from frame_harness.frame_histories.commands import Op
from frame_harness.frame_histories.corruption_table import CORRUPTIONS
from frame_harness.frame_histories.matrix import MatrixRow
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.baseline import EMPTY
from frame_harness.report.clause_table import clause_table
from frame_harness.report.terminal import console_for, print_report
from frame_harness.report.text import ByWidth
from tests.support.judging import judge
from tests.unit.report.test_reports import broken


def piped() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return console_for(file), file


def test_finding_is_named_on_one_line_with_its_place() -> None:
    console, file = piped()
    evidence = broken()
    print_report(evidence, judge(evidence), EMPTY, console)
    lines = file.getvalue().splitlines()
    title = CLAUSES["ALLOC-07"].title
    assert any(line.startswith(f"  ALLOC-07  {title}  ") for line in lines), lines
    assert max(map(len, lines)) < 1000, "nothing is pushed to an edge that is not there"


def test_clause_is_one_line_with_all_its_checks() -> None:
    name = "test_" + "a_long_name_" * 20
    lines = clause_table(CLAUSES, [(f"test_d.py::{name}", ["ALLOC-07"])]).lines().splitlines()
    assert len(lines) == len(CLAUSES)
    [line] = [line for line in lines if line.startswith("ALLOC-07")]
    assert line.endswith(f"[{name}]")


def test_matrix_names_whole_invariants() -> None:
    console, file = piped()
    ids = ("W-OFF-LIMITS-UNTOUCHED", "W-FREE-REFCOUNT", "W-" + "LONG-" * 30)
    console.print(table_of([MatrixRow(CORRUPTIONS[0], (Op.ALLOC,), ids)]))
    [_, line] = file.getvalue().splitlines()
    assert "OFF-LIMITS-UNTOUCHED, FREE-REFCOUNT" in line and "LONG-" * 30 in line


def test_bench_names_whole_measurements() -> None:
    console, file = piped()
    row = Row("a measurement " * 10, 1.0, "its floor " * 10, 1.0, "ms", 1.0, "<= 2")
    console.print(bench_table([row], {row.name: (1.5, 1.25)}))
    [_, line] = file.getvalue().splitlines()
    assert line.startswith(("a measurement " * 10).strip()) and "<= 2 reached" in line
    assert "1.00  1.50 1.25  <= 2" in line, "the ratio, then earlier ones"


def test_a_pipe_gets_what_is_meant_for_pipes() -> None:
    console, file = piped()
    console.print(ByWidth("for a screen", "for a pipe"))
    assert file.getvalue() == "for a pipe\n"
