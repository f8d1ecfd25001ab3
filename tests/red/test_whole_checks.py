"""Proves that a broken module is blamed by a whole run, with its clause, and never the harness.

Each case takes half a minute: `make mutants` runs them all; the worst of the past are always run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.whole_checks import WholeCase, expect_broken, whole_cases, whole_check

CASES = whole_cases()
# What once ended in ERROR: the end of a guest got lost while another CPU was reporting its panic.
ONCE_AN_ERROR = ("generation before refcount",)


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_whole_run_blames_the_subject_and_names_its_clause(case: WholeCase, tmp_path: Path) -> None:
    expect_broken(case, whole_check(case, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ONCE_AN_ERROR)
def test_what_once_was_an_error_blames_the_subject(name: str, tmp_path: Path) -> None:
    [case] = [case for case in CASES if case.name == name]
    expect_broken(case, whole_check(case, tmp_path))


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) > 100
