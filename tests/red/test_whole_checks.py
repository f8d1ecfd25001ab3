"""Proves that a whole run blames a broken module, its clause and its function first, never the harness.

Each case takes half a minute: `make mutants` runs them all; some of the worst are always run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.whole_checks import (
    WholeCase,
    expect_blamed,
    expect_broken,
    whole_cases,
    whole_check,
)
from tests.support.worst_mutants import FRAME_BEYOND_MEMORY, GARBAGE_EVERYWHERE

CASES = whole_cases()
# What once ended in ERROR: the end of a guest got lost while another CPU was reporting its panic.
ONCE_AN_ERROR = ("generation before refcount",)
# What a user reads first is about something else, and why; the clause is among the findings all the same.
BLAMED_ELSEWHERE = {
    "the same frame twice": "freed at once, the frame has nothing of a new life: ALLOC-02",
}
WELL_BLAMED = 0.95


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_whole_run_blames_the_subject_and_names_its_clause(case: WholeCase, tmp_path: Path) -> None:
    result = whole_check(case, tmp_path)
    expect_broken(case, result)
    if case.measured and case.name not in BLAMED_ELSEWHERE:
        expect_blamed(case, result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONCE_AN_ERROR)
def test_what_once_was_an_error_blames_the_subject(name: str, tmp_path: Path) -> None:
    [case] = [case for case in CASES if case.name == name]
    result = whole_check(case, tmp_path)
    expect_broken(case, result)
    expect_blamed(case, result)


def test_few_bugs_are_blamed_on_something_else() -> None:
    measured = {case.name for case in CASES if case.measured}
    assert BLAMED_ELSEWHERE.keys() <= measured
    assert len(BLAMED_ELSEWHERE) <= (1 - WELL_BLAMED) * len(measured)


def test_every_case_declares_a_function() -> None:
    assert [case.name for case in CASES if not case.changed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [GARBAGE_EVERYWHERE.name, FRAME_BEYOND_MEMORY.name])
def test_what_cannot_be_followed_is_blamed_on_the_clause_that_promises_it(name: str, tmp_path: Path) -> None:
    """By the checks of the array and some that follow what the guest says.

    `make mutants` puts these and the others that cannot be followed through all checks.
    """
    [case] = [case for case in CASES if case.name == name]
    result = whole_check(case, tmp_path, "-k", "(ARRAY or FREE-09 or GUARD-05) and not test_w_")
    expect_broken(case, result)
    assert result.report["findings"][0]["clause"] in case.clauses, result.out


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) > 100
