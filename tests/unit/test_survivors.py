"""The reasons why mutants of the built-in module survive are about mutants that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation_testing.explained import Explanation, load

REASONS = load(Path(__file__).parents[1] / "survivors" / "built-in.toml")


@pytest.fixture(scope="module")
def function_of() -> dict[str, str]:
    """The function of each mutant of the built-in module."""
    path = frame_module().path
    return {one.key: one.function for one in mutants_of({path.name: path.read_bytes()})}


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda one: f"{one.function}-{one.mutant}")
def test_reason_is_about_a_mutant_of_the_function_that_it_names(
    reason: Explanation, function_of: dict[str, str]
) -> None:
    assert function_of.get(reason.mutant) == reason.function


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda one: f"{one.function}-{one.mutant}")
def test_reason_names_a_clause(reason: Explanation) -> None:
    assert any(clause in reason.why for clause in FRAME_METADATA.clauses)
