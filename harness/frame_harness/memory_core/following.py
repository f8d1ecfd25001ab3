"""Plays the cases of faults on a build of some version: in a process of this machine, or of another one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import msgspec

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.base.record import Record
from frame_harness.base.text import plural
from frame_harness.campaigns.engine import Lost, Plan, Running
from frame_harness.campaigns.images import SentImage
from frame_harness.guest.booted import BootedGuest, finish_well
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine
from frame_harness.machine.identity import identity_of
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.cores import Cores
from frame_harness.memory_core.sightings import CaseSighting, Fault, Sightings, sightings, survey
from frame_harness.memory_core.steps import parsed
from frame_harness.memory_core.versions import Version
from frame_harness.memory_core.worker import SEED

TOLD_EVERY = 10
"""Cases between two words about how far a build is."""
LIMIT_S = 1800.0
"""Of CPU time, for the cases of a version with a survey: they take a minute."""
ContentAndProfile = tuple[str, str]
"""What is built: the content of a version, the profile."""


@dataclass
class VersionTask:
    """What to play on one build: cases, each with the faults that it is played for, and a survey or none."""

    version: Version
    profile: str
    cases: dict[str, list[Fault]] = field(default_factory=dict)
    survey: bool = False

    @property
    def place(self) -> ContentAndProfile:
        """The build that it needs: the content of the folder, the profile."""
        return self.version.content, self.profile

    @property
    def name(self) -> str:
        """The version and the profile, for the person who waits."""
        return f"history: {self.version.commit.short or 'working tree'} ({self.profile})"


class AskedOf(Record, frozen=True, kw_only=True):
    """What to play on a build."""

    cases: tuple[tuple[str, tuple[Fault, ...]], ...]
    survey: bool


class VersionAsk(Record, frozen=True, kw_only=True):
    """The same, with the build."""

    image: SentImage
    machine: Machine
    asked: AskedOf


class VersionSeen(Record, frozen=True, kw_only=True):
    """What was seen; or why this version cannot be judged.

    It is not final where something went wrong that may be over next time, such as a full disk.
    """

    sightings: Sightings | None = None
    why_not: str = ""
    is_final: bool = True


VersionSpread = Running[VersionAsk, VersionSeen]


def plan_of(machine: Machine) -> Plan[VersionAsk, VersionSeen]:
    """The campaign that follows faults; all else that its results depend on is in the keys of its tasks."""
    return Plan(
        "since",
        play_sent,
        VersionSeen,
        identity_of(machine),
        (),
        LIMIT_S,
        open_ended=True,
        is_final=_is_final,
    )


def asked_of(task: VersionTask) -> AskedOf:
    """What a task asks of a build."""
    return AskedOf(
        cases=tuple((case, tuple(faults)) for case, faults in task.cases.items()), survey=task.survey
    )


def spread_out(
    running: VersionSpread, machine: Machine, builds: Iterator[tuple[VersionTask, Image]]
) -> Iterator[tuple[VersionTask, Sightings | str]]:
    """Have workers play on each build as soon as it is made; of what cannot be played the reason."""
    tasks: dict[str, VersionTask] = {}
    for task, image in builds:
        running.offer(image.elf)
        ask = VersionAsk(image=SentImage.of(image), machine=machine, asked=asked_of(task))
        key = hashlib.sha256(
            f"{task.place} {image.sha256}".encode() + msgspec.json.encode(ask.asked)
        ).hexdigest()
        tasks[key] = task
        running.submit(key, ask)
    for done in running.results():
        if isinstance(done.result, Lost):
            yield tasks[done.key], f"the process that judged it: {done.result.reason}, {done.result.detail}"
        else:
            yield tasks[done.key], done.result.sightings or done.result.why_not


def play_sent(ask: VersionAsk) -> VersionSeen:
    """Play what was asked on a worker."""
    try:
        image = ask.image.image(MEMORY_CORE)
        return VersionSeen(sightings=play_asked(image, ask.machine, ask.asked, lambda _: None))
    except ImageError as error:
        return VersionSeen(why_not=f"its state is kept in another way: {error.summary}")
    except HarnessError as error:
        return VersionSeen(why_not=error.summary, is_final=False)


def _is_final(seen: VersionSeen) -> bool:
    return seen.is_final


def play_asked(image: Image, machine: Machine, asked: AskedOf, say: Say) -> Sightings:
    """Play cases on one build, in a process of its own."""
    seen: list[CaseSighting] = []
    found: dict[Fault, str] | None = None
    cut = ""
    with Cores(partial(BootedGuest.start, image, machine), finish_well) as cores:
        questions = [(parsed(case), faults) for case, faults in asked.cases]
        for one in sightings(cores, questions):
            seen.append(one)
            if len(seen) in (*range(0, len(asked.cases), TOLD_EVERY), len(asked.cases)):
                say(f"{len(seen)} of {plural(len(asked.cases), 'case')}")
        if asked.survey:
            found, cut = survey(cores.small, SEED, say)
    return Sightings(seen=tuple(seen), survey=None if found is None else tuple(found.items()), cut=cut)
