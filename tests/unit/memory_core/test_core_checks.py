"""Proves that a clause of a memory core is held only where some case was judged by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from frame_harness.image.image import Image
from frame_harness.judge.evidence import Level, Outcome, RunKey
from frame_harness.memory_core.checks import results_of
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.design import TREE
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.steps import CaseStep, CaseStorm
from frame_harness.memory_core.tally import Found

NO_IMAGE = cast("Image", None)  # asked for the line of a fault alone


def outcomes(looked_at: set[str], unseen: Mapping[str, str]) -> dict[str, Outcome]:
    lacks = {"CORE-22": "FramePurpose"}
    results = results_of(RunKey("m", "dev"), {}, NO_IMAGE, TREE, "", 1.0, lacks, looked_at, unseen)
    return {result.clauses[0]: result.outcome for result in results}


def test_clause_that_no_case_came_to_is_not_held() -> None:
    found = outcomes({"CORE-01"}, dict.fromkeys(CORE_CLAUSES.keys() - {"CORE-01"}, "no case came so far"))
    assert found["CORE-01"] is Outcome.PASSED and found["CORE-22"] is Outcome.ABSENT
    assert {found[id_] for id_ in CORE_CLAUSES if id_ not in ("CORE-01", "CORE-22")} == {
        Outcome.NOT_EVALUATED
    }


def test_one_case_speaks_of_what_it_reached_alone() -> None:
    assert outcomes({"CORE-01"}, {}) == {"CORE-01": Outcome.PASSED, "CORE-22": Outcome.ABSENT}


@pytest.mark.parametrize(
    ("steps", "level"), [((), Level.CALL), ((CaseStorm(4, 100, 1),), Level.STORM)], ids=["start", "storm"]
)
def test_what_a_storm_shows_has_the_level_of_storms(steps: tuple[CaseStep, ...], level: Level) -> None:
    fault = Found(
        Failure(steps, CoreViolation("CORE-01", "free frames", "1", "2"), "alloc", at="a.rs:1"), None
    )
    found = results_of(
        RunKey("m", "dev"), {("CORE-01", ""): fault}, NO_IMAGE, TREE, "", 1.0, {}, {"CORE-01"}, {}
    )
    assert [one.level for one in found if one.outcome is Outcome.VIOLATED] == [level]
