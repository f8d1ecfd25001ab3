"""A history that a call ended leaves its other clauses undecided, by the clause that the call breaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.whole_memory import WatchedMemory
from frame_harness.guest.checks import OtherClauseViolated
from frame_harness.guest.errors import AllocFailed, SubjectPanic
from frame_harness.judge.evidence import Outcome
from tests.unit.session.test_pytest_results import judged

CALLED = "FrameAllocOptions::allocate"


@pytest.mark.parametrize(
    ("end", "got"),
    [
        (AllocFailed("OutOfMemory", "alloc new"), "OutOfMemory"),
        (SubjectPanic(file="frame.rs", line=7, message="no frame", request="alloc new"), "no frame"),
    ],
    ids=["refusal", "panic"],
)
def test_what_ended_a_history_is_judged_once_and_hinders_the_other_clauses(
    end: AllocFailed | SubjectPanic, got: str
) -> None:
    """A skip without that clause would be hidden by a baseline that knows it."""
    watched = WatchedMemory(cast("Kernel", SimpleNamespace(called={CALLED})), broken=end)
    with pytest.raises(type(end)):
        watched.require("ALLOC-14")
    with pytest.raises(OtherClauseViolated) as raised:
        watched.require("GEN-02")
    result, seen = judged(raised.value, "GEN-02")
    assert (result.outcome, result.hindered_by) == (Outcome.SKIPPED, "ALLOC-14")
    assert seen is not None
    assert (seen.broken, seen.got, seen.incidental, seen.calls) == (("ALLOC-14",), got, True, (CALLED,))
    assert seen.panicked is isinstance(end, SubjectPanic)
