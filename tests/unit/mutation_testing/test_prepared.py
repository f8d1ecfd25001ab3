"""Proves that what is imported for the tasks of a campaign has the suite collected, and judges a mutant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.mutation_testing import prepared


def test_the_suite_is_collected_with_the_functions_of_each_check() -> None:
    functions = {one for found in prepared.COLLECTED.values() for one in found}
    assert len(prepared.COLLECTED) > 100 and "FrameAllocOptions::zeroed" in functions


def test_a_task_is_judged_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "judge_mutant", lambda task: ("judged", task))
    task: Any = SimpleNamespace()
    assert prepared.work(task) == ("judged", task)  # type: ignore[comparison-overlap]
