"""The table of storms speaks of the contract, and each of its storms is run by a check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_storms.table import STORMS, FrameStorm

SUITE = Path(__file__).resolve().parents[2] / "contract" / "test_s_storms.py"


def checks_of(storm: str) -> list[list[str]]:
    """The clauses of each check of the suite that runs a storm."""
    found = []
    for node in ast.parse(SUITE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and f"storm({storm!r})" in map(ast.unparse, node.body):
            marks = [mark for mark in node.decorator_list if isinstance(mark, ast.Call)]
            found.append([ast.literal_eval(argument) for mark in marks for argument in mark.args])
    return found


@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
def test_each_storm_is_run_by_one_check_of_its_clauses(storm: FrameStorm) -> None:
    assert checks_of(storm.name) == [list(storm.clauses)]
    assert set(storm.clauses) <= FRAME_METADATA.clauses.keys()
