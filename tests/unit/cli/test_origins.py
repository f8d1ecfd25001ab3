"""What went wrong while findings are followed back is part of the evidence, and what was found stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from frame_harness.base.errors import HarnessError
from frame_harness.cli import origins
from frame_harness.judge.evidence import Evidence, Outcome
from frame_harness.judge.findings import Finding
from frame_harness.judge.origin import Commit, Origin, OriginKind
from frame_harness.machine.definition import Machine
from frame_harness.memory_core.versions import Lineage
from frame_harness.report.progress import Progress
from tests.support.judging import judge
from tests.unit.evidence_samples import TABLE, healthy, with_outcome

COMMIT = Commit(id="1" * 40, short="1111111", date="2026-01-02")
FOUND = Origin(clause="ALLOC-07", cause="", kind=OriginKind.ALREADY, profile="dev", commit=COMMIT)
BROKEN = with_outcome(healthy(), TABLE, Outcome.VIOLATED, got="1", case="0x0..0x9000 free")
LINEAGE = cast(
    "Lineage",
    SimpleNamespace(versions=(1, 2), core=Path("/k/src/memory"), notes=("a merge",)),
)


class Notes:
    """Takes down what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    step = note


class Follower:
    """Finds one origin, then ends as a test says."""

    ends: BaseException | None = None

    def __init__(self, *_: object) -> None: ...

    def origins(self, _wanted: Sequence[object], found: Callable[[Origin], None]) -> None:
        found(FOUND)
        if self.ends is not None:
            raise self.ends


@pytest.fixture(autouse=True)
def follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "Follower", Follower)
    monkeypatch.setattr(origins, "find_toolchain", lambda **_: None)
    monkeypatch.setattr(origins, "wanted_of", tuple)


def followed(findings: Sequence[Finding]) -> tuple[Evidence, list[str]]:
    notes = Notes()
    progress, machine = cast("Progress", notes), cast("Machine", None)
    return origins.with_origins(BROKEN, findings, LINEAGE, machine, progress), notes.said


def ending(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> Any:
    monkeypatch.setattr(Follower, "ends", error)
    return followed(judge(BROKEN).findings)[0]


def test_an_evidence_without_findings_stays_as_it_is() -> None:
    evidence, said = followed(())
    assert evidence is BROKEN
    assert said == ["history: there is no finding to follow"]


def test_what_was_found_is_added_and_what_a_reader_has_to_know_is_said() -> None:
    evidence, said = followed(judge(BROKEN).findings)
    assert evidence == replace(BROKEN, origins=(FOUND,))
    assert said == [
        "history: 1 finding to follow over 2 versions of /k/src/memory", "history: a merge",
    ]  # fmt: skip


def test_ctrl_c_keeps_what_was_found_and_is_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(monkeypatch, KeyboardInterrupt()) == replace(BROKEN, origins=(FOUND,), interrupted=True)


def test_an_error_keeps_what_was_found_and_is_one_of_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = ending(monkeypatch, HarnessError("git", "no such commit", next_step="fetch it"))
    assert evidence.origins == (FOUND,)
    [trouble] = evidence.errors
    assert (trouble.what, trouble.message, trouble.next) == ("history", "git: no such commit", "fetch it")
    assert not evidence.interrupted


def test_another_error_is_nobody_s_to_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        ending(monkeypatch, ZeroDivisionError())
