"""A run that was to measure lines says why it has none, unless it was interrupted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from frame_harness.cli import check
from frame_harness.cli.check import CheckRequest, examine
from frame_harness.cli.reporting import Made
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import Evidence
from frame_harness.report.progress import Progress
from frame_harness.session.request import info_of


@pytest.mark.parametrize(("interrupted", "n_notes"), [(True, 0), (False, 1)])
def test_lines_that_were_not_measured_are_told_of_a_run_that_came_to_its_end(
    interrupted: bool, n_notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = Evidence(subject=info_of(frame_module()), planned_runs=(), interrupted=interrupted)
    monkeypatch.setattr(check, "_evidence", lambda *_: Made(evidence))
    notes: list[str] = []
    examine(CheckRequest(coverage=True), cast(Progress, SimpleNamespace(note=notes.append)))
    assert len(notes) == n_notes
    assert all("was not measured" in note for note in notes)
