"""Proves that many faults are followed together, and that a version is called good only after a survey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from frame_harness.base import resources
from frame_harness.base.digests import sha256_of
from frame_harness.campaigns.engine import Settings, campaign
from frame_harness.campaigns.files import path_of
from frame_harness.image.compiler import Toolchain
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import Trouble
from frame_harness.judge.origin import Commit, Origin, OriginKind
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core import follow
from frame_harness.memory_core.children import BuildJob
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.follow import Follower, WantedFault
from frame_harness.memory_core.following import VersionAsk, VersionSeen, VersionTask, plan_of
from frame_harness.memory_core.sightings import CaseSighting, Fault, Sightings
from frame_harness.memory_core.versions import Lineage, Version

ALL = tuple(f"CORE-{number:02}" for number in range(1, 23))
NO_TOOLCHAIN = cast("Toolchain", None)  # nothing is built


def wanted(clause: str) -> WantedFault:
    case = "0x400000..0x800000 free" + ("; storm of 3 for 9 seed 1" if clause == "CORE-21" else "")
    return WantedFault(clause, "", Fault(clause=clause, cause=""), case, "release")


class Simulated(Follower):
    """Plays on histories written as a letter for each version instead of building any.

    `G` good, `B` bad, `b` bad, though the fault's own case does not show it; `c` good by its case, though a
    survey ends early; `?` cannot be built.
    """

    def __init__(self, histories: dict[str, str]) -> None:
        count = len(next(iter(histories.values())))
        versions = tuple(
            Version(Commit(id=f"{at}", short=f"{at}"), "memory", f"content {at}") for at in range(count)
        )
        lineage = Lineage(cast("Any", None), Path("/nowhere/memory"), versions)
        self.words: list[str] = []
        super().__init__(lineage, NO_TOOLCHAIN, load_machine("microvm"), self.words.append)
        self.histories, self.played, self.surveyed = histories, list[tuple[str, int]](), list[int]()

    def letters(self, version: Version) -> dict[str, str]:
        return {clause: history[int(version.commit.id)] for clause, history in self.histories.items()}

    def ended(self, task: VersionTask) -> Sightings | Trouble:
        letters, at = self.letters(task.version), int(task.version.commit.id)
        if "?" in letters.values():
            return Trouble(what="build", message="it does not compile")
        self.surveyed += [at] if task.survey else []
        seen = []
        for faults in task.cases.values():
            self.played += [(fault.clause, at) for fault in faults]
            seen.append(
                CaseSighting(faults=tuple(one for one in faults if letters[one.clause] == "B"), looked_at=ALL)
            )
        found = tuple(
            (wanted(clause).fault, "another case") for clause, one in letters.items() if one in "Bb"
        )
        cut = "its survey ended after 6 hangs" if task.survey and "c" in letters.values() else ""
        return Sightings(seen=tuple(seen), survey=found if task.survey else None, cut=cut)

    def answers(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Origin]:
        tasks: dict[str, VersionTask] = {}

        def builds(asked: Iterable[VersionTask], _: object) -> list[tuple[VersionTask, Any]]:
            tasks.update({task.name: task for task in asked})
            return [(task, None) for task in asked]

        def in_processes(work: Iterable[BuildJob[Sightings]], *_: object, most: int) -> list[object]:
            return [(job, self.ended(tasks[job.name])) for job in work]

        monkeypatch.setattr(self, "_builds", builds)
        monkeypatch.setattr(follow, "in_processes", in_processes)
        origins: list[Origin] = []
        self.origins([wanted(clause) for clause in self.histories], origins.append)
        return {origin.clause: origin for origin in origins}


class Spread(Simulated):
    """The same, with tasks of a campaign, as workers get them."""

    def answers(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Origin]:
        def builds(asked: Iterable[VersionTask], _: object) -> Iterator[tuple[VersionTask, Image]]:
            for task in asked:
                elf = resources.build_dir() / task.version.commit.id
                elf.write_text(task.version.commit.id)
                subject = Subject(elf, "", task.version.commit.id, MEMORY_CORE)
                yield task, Image(elf, sha256_of(elf), task.profile, subject)

        def play(ask: VersionAsk) -> VersionSeen:
            sent = path_of(ask.image.sha256, "kernel_shim").read_text()
            assert sent == ask.image.subject
            version = self.lineage.versions[int(sent)]
            cases = {case: list(faults) for case, faults in ask.asked.cases}
            found = self.ended(VersionTask(version, ask.image.profile, cases, ask.asked.survey))
            return (
                VersionSeen(sightings=found)
                if isinstance(found, Sightings)
                else VersionSeen(why_not=found.message)
            )

        monkeypatch.setattr(self, "_builds", builds)
        origins: list[Origin] = []
        plan = replace(plan_of(self.machine), work=play)
        with campaign(plan, Settings(0, None, None, False, None)) as self.spread:
            self.origins([wanted(clause) for clause in self.histories], origins.append)
        return {origin.clause: origin for origin in origins}


def ends(origin: Origin) -> tuple[OriginKind, str | None, str]:
    return origin.kind, None if origin.before is None else origin.before.id, origin.commit.id


@pytest.fixture(autouse=True)
def _own_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))


def test_many_faults_share_builds_and_each_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Simulated(
        {"CORE-03": "GGGGGGBB", "CORE-04": "GGGGGGBB", "CORE-06": "BBBBBBBB", "CORE-18": "GGBBBBBB"}
    )
    origins = told.answers(monkeypatch)
    assert ends(origins["CORE-03"]) == ends(origins["CORE-04"]) == (OriginKind.BROUGHT, "5", "6")
    assert ends(origins["CORE-06"]) == (OriginKind.ALREADY, None, "0")
    assert ends(origins["CORE-18"]) == (OriginKind.BROUGHT, "1", "2")
    assert len(told.played) == len(set(told.played)), "a case was played twice on one build"
    assert sorted(told.surveyed) == [1, 5], "each version that is called good is surveyed once"


def test_workers_come_to_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = {"CORE-03": "GG??GGBB", "CORE-06": "BBBBBBBB", "CORE-08": "GGbbbbBB", "CORE-18": "G?BBBBBB"}
    here, spread = Simulated(histories), Spread(histories)
    assert spread.answers(monkeypatch) == here.answers(monkeypatch)
    assert sorted(spread.played) == sorted(here.played)


def test_version_that_cannot_be_judged_leaves_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    [origin] = Simulated({"CORE-03": "GG??BB"}).answers(monkeypatch).values()
    assert ends(origin) == (OriginKind.BETWEEN, "1", "4")
    assert [(one.commit.id, one.why) for one in origin.unjudged] == [
        ("2", "it does not compile"), ("3", "it does not compile"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("history", "kind", "before", "commit"),
    [
        ("GGbbbbBB", OriginKind.BROUGHT, "1", "2"),
        ("bbbbbbbB", OriginKind.ALREADY, None, "0"),
        ("GGGGGGbB", OriginKind.BROUGHT, "5", "6"),
        ("Gb??bbbB", OriginKind.BROUGHT, "0", "1"),
    ],
)
def test_fault_that_its_case_does_not_show_in_old_versions_is_found_by_surveys(
    history: str, kind: OriginKind, before: str | None, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Simulated({"CORE-08": history})
    [origin] = told.answers(monkeypatch).values()
    assert ends(origin) == (kind, before, commit)
    assert origin.case == "another case", "the case that shows it there"
    assert len(told.surveyed) == len(set(told.surveyed)) < len(history)


def test_a_version_whose_survey_ends_early_is_not_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    [origin] = Simulated({"CORE-08": "GGcBBB"}).answers(monkeypatch).values()
    assert ends(origin) == (OriginKind.BETWEEN, "1", "3")
    assert [one.why for one in origin.unjudged] == ["its survey ended after 6 hangs"]


def test_races_are_not_surveyed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Simulated({"CORE-21": "GGGB"})
    [origin] = told.answers(monkeypatch).values()
    assert ends(origin) == (OriginKind.BROUGHT, "2", "3") and told.surveyed == []
    assert origin.tries > 1


def test_a_case_that_is_not_shown_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    [origin] = Simulated({"CORE-03": "GGGG"}).answers(monkeypatch).values()
    assert ends(origin) == (OriginKind.NOT_SHOWN, None, "3")
