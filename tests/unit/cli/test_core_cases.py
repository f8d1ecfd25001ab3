"""Proves which cases of a memory core are played alone, and which clauses each of them has to come to."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.cli.core_cases import cases_to_play, clauses_of
from frame_harness.judge.difference import BrokenCheck
from frame_harness.judge.evidence import CheckInRun, RunKey
from frame_harness.memory_core.checks import check_of

DEV, RELEASE = RunKey("microvm", "dev"), RunKey("microvm", "release")
ONE, OTHER = "0x0..0x9000 free", "0x0..0x5000 free"


def broken(run: RunKey, clause: str, case: str, number: int = 1) -> BrokenCheck:
    return BrokenCheck(CheckInRun(run=run, check=check_of(clause, number), case=case), (clause,))


BEFORE = [
    broken(DEV, "CORE-04", ONE),
    broken(DEV, "CORE-15", ONE, number=2),
    broken(DEV, "CORE-15", OTHER),
    broken(RELEASE, "CORE-03", OTHER),
]


def test_a_case_has_to_come_to_the_clauses_of_a_check_whatever_that_is_called() -> None:
    place = CheckInRun(run=DEV, check="another name", case=ONE)
    assert cases_to_play("dev", "", [BrokenCheck(place, ("CORE-04", "CORE-07"))]) == {
        "dev": {ONE: ("CORE-04", "CORE-07")}
    }


def test_each_case_has_to_come_to_the_clauses_that_it_broke() -> None:
    cases = cases_to_play("both", "", BEFORE)
    assert cases == {
        "dev": {ONE: ("CORE-04", "CORE-15"), OTHER: ("CORE-15",)},
        "release": {OTHER: ("CORE-03",)},
    }
    assert set(clauses_of(cases)) == {"CORE-03", "CORE-04", "CORE-15"}
    assert cases_to_play("release", "", BEFORE) == {"release": {OTHER: ("CORE-03",)}}


def test_a_case_of_the_command_line_has_to_come_to_nothing() -> None:
    cases = cases_to_play("both", ONE, ())
    assert cases == {"dev": {ONE: ()}, "release": {ONE: ()}} and clauses_of(cases) == ()


@pytest.mark.parametrize(
    "case", ["0x5000..0x1000 free", "0x0..0x9000 free; free b1", "9999 islands of 1 from 0x0"]
)
def test_a_case_without_sense_is_refused_wherever_it_comes_from(case: str) -> None:
    with pytest.raises(UsageError, match="case") as of_command_line:
        cases_to_play("both", case, ())
    with pytest.raises(UsageError, match="case") as of_report:
        cases_to_play("both", "", [broken(DEV, "CORE-04", case)])
    assert of_command_line.value.summary == of_report.value.summary


def test_nothing_broken_is_a_whole_campaign_and_no_case_in_a_profile_is_refused() -> None:
    assert cases_to_play("both", "", ()) == {}
    with pytest.raises(UsageError, match="expected cases in dev, got none"):
        cases_to_play("dev", "", BEFORE[-1:])
