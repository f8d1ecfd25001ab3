"""Proves that a clause of a memory core is held only where some case was judged by it."""

from __future__ import annotations

from typing import cast

from frame_harness.image.image import Image
from frame_harness.judge.evidence import Outcome, RunKey
from frame_harness.memory_core.checks import results_of
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.design import TREE

NO_IMAGE = cast("Image", None)  # asked for the line of a fault alone


def outcomes(looked_at: set[str], unseen: str) -> dict[str, Outcome]:
    lacks = {"CORE-22": "FramePurpose"}
    results = results_of(RunKey("m", "dev"), {}, NO_IMAGE, TREE, "", 1.0, lacks, looked_at, unseen)
    return {result.clauses[0]: result.outcome for result in results}


def test_clause_that_no_case_came_to_is_not_held() -> None:
    found = outcomes({"CORE-01"}, "no case came so far")
    assert found["CORE-01"] is Outcome.PASSED and found["CORE-22"] is Outcome.ABSENT
    assert {found[id_] for id_ in CORE_CLAUSES if id_ not in ("CORE-01", "CORE-22")} == {
        Outcome.NOT_EVALUATED
    }


def test_one_case_speaks_of_what_it_reached_alone() -> None:
    assert outcomes({"CORE-01"}, "") == {"CORE-01": Outcome.PASSED, "CORE-22": Outcome.ABSENT}
