"""Each check of the suite says how much goes on in it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest

from frame_harness.judge.evidence import Level
from tests.support.doors import ROOT

FILES = sorted(path.stem for path in (ROOT / "tests" / "contract").glob("test_*.py"))
SEVERAL_CPUS = {Level.INTERLEAVING, Level.STORM}
LEVELS = {
    "test_o_orderings": {Level.COMPILED},
    "test_s_histories": SEVERAL_CPUS,
    "test_s_interleavings": {Level.INTERLEAVING},
    "test_s_races": {Level.INTERLEAVING},
    "test_s_storms": {Level.STORM},
    "test_v_method_histories": {Level.HISTORY},
    "test_w_histories": {Level.HISTORY},
    "test_w_whole_memory": {Level.MEMORY},
}
"""Of the files with more than single calls and sequences of them on one CPU."""
ONE_CPU = {Level.DECLARATION, Level.CALL, Level.SEQUENCE}


def marks(module: ModuleType, function: Any, name: str) -> list[Any]:
    of_module = getattr(module, "pytestmark", [])
    of_module = of_module if isinstance(of_module, list) else [of_module]
    return [mark for mark in [*getattr(function, "pytestmark", []), *of_module] if mark.name == name]


def checks(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


@pytest.mark.parametrize("file", FILES)
def test_every_check_has_the_level_of_its_kind(file: str) -> None:
    module = importlib.import_module(f"tests.contract.{file}")
    found = {
        name: Level(given[0].args[0]) if (given := marks(module, check, "level")) else Level.CALL
        for name, check in checks(module).items()
    }
    allowed = LEVELS.get(file, ONE_CPU)
    assert {name: level for name, level in found.items() if level not in allowed} == {}
