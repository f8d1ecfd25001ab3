"""The reasons why mutants survive are about mutants that there are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation_testing.explained import SurvivorExplanation, load

SURVIVORS = Path(__file__).parents[2] / "survivors"
BUILT_IN = load(SURVIVORS / "built-in.toml")
REAL = load(SURVIVORS / "strat9-frame.toml")
REAL_VERSION = "b80d738c9a2a"
"""First digits of the sha256 of the version that the reasons are about."""


@pytest.fixture(scope="module")
def function_of() -> dict[str, str]:
    """The function of each mutant of the built-in module."""
    return functions(frame_module().path.read_bytes())


def functions(text: bytes) -> dict[str, str]:
    """By key the function of each mutant of a module."""
    return {one.key: one.function for one in mutants_of({"frame.rs": text})}


@pytest.mark.parametrize("reason", BUILT_IN.values(), ids=lambda one: f"{one.function}-{one.mutant}")
def test_reason_is_about_a_mutant_of_the_function_that_it_names(
    reason: SurvivorExplanation, function_of: dict[str, str]
) -> None:
    assert function_of.get(reason.mutant) == reason.function


def test_reasons_for_the_real_module_are_about_mutants_of_the_functions_that_they_name(real: Path) -> None:
    text = real.read_bytes()
    found = hashlib.sha256(text).hexdigest()[: len(REAL_VERSION)]
    if found != REAL_VERSION:
        pytest.skip(f"the reasons are about the version {REAL_VERSION}, this is {found}")
    by_key = functions(text)
    assert {key: by_key.get(key) for key in REAL} == {key: one.function for key, one in REAL.items()}


@pytest.mark.parametrize(
    "reason", [*BUILT_IN.values(), *REAL.values()], ids=lambda one: f"{one.function}-{one.mutant}"
)
def test_reason_names_a_clause(reason: SurvivorExplanation) -> None:
    assert any(clause in reason.why for clause in FRAME_METADATA.clauses)
