"""Proves that a bug is blamed on the function that wrote the wrong field, by whichever check it is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.judge.exit_codes import ExitCode
from tests.support.blame import FirstFinding, first_finding
from tests.support.doors import Judged, check
from tests.support.frame_mutants import MUTANTS, NOTICED
from tests.support.mutants import broken_here


def judged(folder: Path, name: str, selection: str) -> tuple[Judged, FirstFinding | None]:
    """What a run of some checks says of a bug, and what it says first."""
    [bug] = [bug for bug in MUTANTS if bug.name == name]
    subject = broken_here(bug.edits)
    result = check(
        folder, "--frame-rs", subject, "--machine", "microvm", "--profile", "release", "-n", "1",
        "-k", selection,
    )  # fmt: skip
    return result, first_finding(result.report, subject.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "selection", "first"),
    [
        ("references saturate at 8 bits", "s_histories", FirstFinding("REF-01", "MetaSlot::inc_ref")),
        (
            "coming home clears the generation",
            "w_histories",
            FirstFinding("GEN-01", "MetaSlot::reset_with_free_list_meta"),
        ),
        (
            "movable frames come from the other list",
            "w_histories",
            FirstFinding("ALLOC-08", "FrameAllocOptions::allocate"),
        ),
    ],
    ids=[bug.name.replace(" ", "-") for bug in NOTICED],
)
@pytest.mark.slow
def test_what_a_history_saw_is_blamed_on_its_writer(
    name: str, selection: str, first: FirstFinding, tmp_path: Path
) -> None:
    """Seen by histories alone, where the check cannot know beforehand which function it will be."""
    result, found = judged(tmp_path, name, selection)
    assert result.status == ExitCode.FAIL, result.out
    assert found == first, result.out
    # What never happened in these histories, or was never called, is not blamed.
    assert not result.violated & {"GEN-03", "GUARD-04", "REF-04", "REF-05", "ALLOC-13"}, result.out
    assert len(result.out.splitlines()) < 150, result.out
