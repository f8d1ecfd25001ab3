"""Proves that a core whose files change while it is judged has no verdict, and no commit is blamed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from frame_harness.base.guest_end import GuestEnd
from frame_harness.cli import core as cores
from frame_harness.cli.core import CoreRequest, examine_core
from frame_harness.cli.reporting import Examined
from frame_harness.image.image import Image
from frame_harness.image.store import content_of
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import Evidence, GuestExits, LayoutEvidence, SelftestEvidence, Witness
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.origin import Commit, Origin, OriginKind
from frame_harness.memory_core.checks import results_of
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.processes import Outcomes
from frame_harness.memory_core.worker import Judged, Task
from frame_harness.session.run import Ledger
from tests.support.core_mutants import TREE

EQUAL = LayoutEvidence(dwarf=Witness.UNPROMISED, guest_bytes=Witness.EQUAL)
EXITS = (GuestExits(got=GuestEnd.PASS, count=1),)
ORIGIN = Origin(clause="CORE-01", cause="", kind=OriginKind.ALREADY, profile="dev", commit=Commit(id="a1"))
Edit = Callable[[], object]


def nothing() -> None:
    """No edit."""


class Silent:
    """Is told how far it is."""

    def step(self, _: str) -> None: ...

    note = step


def judged(task: Task) -> Judged:
    """Nothing wrong, in any clause."""
    ledger = Ledger(
        run=task.key, image_sha256=task.image.sha256, build_id="b1" * 20,
        subject_sha256=task.image.subject.sha256, accelerator="tcg", qemu_version="7.2.22", guests_booted=1,
        exits=EXITS, layout=EQUAL, selftest=SelftestEvidence(plan=1, passed=1, failed=0),
        invariants={"state of the core": 9},
    )  # fmt: skip
    results = results_of(task.key, {}, task.image, task.design, "", 1.0, {}, CORE_CLAUSES.keys(), {})
    return Judged(ledger=ledger, results=tuple(results))


class Place:
    """A tree of which nothing is built, and no guest is booted."""

    def __init__(self, tree: Path, patch: pytest.MonkeyPatch) -> None:
        self.tree = shutil.copytree(TREE, tree)
        self.file = tree / "src" / "memory" / "buddy.rs"
        self.beside = self.file.with_name("tables.rs")
        self.beside.write_text("// a module of the core's own\n")
        self.while_judged: Edit = nothing
        self.while_built: Edit = nothing
        self.while_followed: Edit = nothing
        self.followed = 0
        patch.setenv("FRAME_HARNESS_CACHE", str(tree.with_name("cache")))
        patch.setattr(cores, "find_toolchain", lambda **_: None)
        patch.setattr(cores, "words_of", lambda _: "")
        patch.setattr(cores, "lineage_of", lambda *_: object())
        for name in ("build_core", "judge_builds", "with_origins"):
            patch.setattr(cores, name, getattr(self, name))

    def build_core(self, subject: Subject, profile: str, *_: object) -> tuple[Image, str]:
        self.while_built()
        sources = ((str(self.beside), content_of([self.beside])),)
        return Image(self.file, "a0" * 32, profile, subject.refreshed(), (), sources), ""

    def judge_builds(self, tasks: Iterable[Task], _: object) -> Outcomes:
        seen = tuple(map(judged, tasks))
        self.while_judged()
        return Outcomes(seen, ())

    def with_origins(self, evidence: Evidence, *_: object) -> Evidence:
        self.followed += 1
        self.while_followed()
        return replace(evidence, origins=(ORIGIN,))

    def examined(self, since: str = "") -> Examined:
        request = CoreRequest(kernel_src=self.tree, since=since)
        return examine_core(request, cast("Any", Silent()))

    def save(self, file: Path | None = None) -> Edit:
        return lambda: (file or self.file).write_text("// another text\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path / "kernel", monkeypatch)


def errors(found: Examined) -> list[str]:
    return [one.message for one in found.evidence.errors]


def test_a_tree_that_nobody_touches_passes(place: Place) -> None:
    found = place.examined()
    assert (found.verdict.kind, errors(found)) == (VerdictKind.PASS, []), found.verdict.reasons


def test_a_save_while_the_core_is_judged_is_an_error(place: Place) -> None:
    place.while_judged = place.save()
    found = place.examined()
    assert found.verdict.kind is VerdictKind.ERROR
    assert errors(found) == [f"{place.file.parent} changed while it was judged"]


def test_a_file_that_the_core_brings_along_counts_too(place: Place) -> None:
    place.while_judged = place.save(place.beside)
    assert errors(place.examined()) == [f"{place.beside} changed while it was judged"]


def test_a_file_that_is_gone_is_told_with_the_reason(place: Place) -> None:
    place.while_judged = place.file.unlink
    [error] = place.examined().evidence.errors
    assert error.message.endswith("changed while it was judged") and "buddy.rs" in error.detail


def test_a_save_before_the_first_build_is_an_error(place: Place) -> None:
    place.while_built = place.save()
    assert place.examined().verdict.kind is VerdictKind.ERROR


def test_origins_are_followed_where_nothing_changes(place: Place) -> None:
    found = place.examined(since="HEAD~1")
    assert (found.verdict.kind, found.evidence.origins, place.followed) == (VerdictKind.PASS, (ORIGIN,), 1)


def test_no_origin_is_looked_for_in_files_that_changed(place: Place) -> None:
    place.while_judged = place.save()
    found = place.examined(since="HEAD~1")
    assert (found.verdict.kind, found.evidence.origins, place.followed) == (VerdictKind.ERROR, (), 0)


def test_no_commit_is_blamed_where_a_save_comes_into_the_search(place: Place) -> None:
    place.while_followed = place.save()
    found = place.examined(since="HEAD~1")
    assert (found.verdict.kind, found.evidence.origins, place.followed) == (VerdictKind.ERROR, (), 1)
    assert errors(found) == [f"{place.file.parent} changed while it was judged"]
