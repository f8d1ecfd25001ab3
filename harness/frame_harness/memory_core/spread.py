"""Has the builds of a memory core judged by the workers of a campaign, each as a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.archive.carried import CarriedFile, add_carried, carried
from frame_harness.base.disk import scratch
from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.campaigns.engine import Lost, Plan, Running
from frame_harness.campaigns.files import path_of
from frame_harness.campaigns.images import SentImage
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import Outcome, RunKey, Trouble, decode, encode
from frame_harness.machine.definition import Machine
from frame_harness.machine.identity import identity_of
from frame_harness.memory_core.builtin import BUILTIN, BUILTIN_CORE
from frame_harness.memory_core.children import trouble_of_a_build
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.design import TREE
from frame_harness.memory_core.processes import Outcomes
from frame_harness.memory_core.steps import parsed, written
from frame_harness.memory_core.worker import Judged, Task, judge_build
from frame_harness.session.spread import lost, not_evaluated

LIMIT_S: Final = 1800.0
"""Of CPU time, for one build: all its cases take half a minute, guests have limits of their own."""


class BuildTask(Record, frozen=True, kw_only=True):
    """What `Task` says of a build, for another machine; `keeps` where cases with faults leave something."""

    key: RunKey
    image: SentImage
    machine: Machine
    again: str
    cases: tuple[str, ...]
    wanted: tuple[tuple[str, ...], ...]
    seed: int
    without_ownership: str
    is_builtin: bool
    keeps: bool
    number: int

    @classmethod
    def of(cls, task: Task) -> BuildTask:
        """Take a task apart; the campaign has to offer its image, and the file of a built-in core."""
        return cls(
            key=task.key, image=SentImage.of(task.image), machine=task.machine, again=task.again,
            cases=tuple(map(written, task.cases)), wanted=task.wanted, seed=task.seed,
            without_ownership=task.without_ownership, is_builtin=task.design is BUILTIN,
            keeps=task.archive is not None, number=task.number,
        )  # fmt: skip

    def task(self, archive: Path) -> Task:
        """Return the task, on whatever machine this is.

        Args:
            archive: for what cases with faults leave.
        Raises:
            HarnessError: a file cannot be had.
        """
        contract, design = (BUILTIN_CORE, BUILTIN) if self.is_builtin else (MEMORY_CORE, TREE)
        # The core of a tree has functions alone, which debug information knows.
        name = Path(self.image.path).name
        text = path_of(self.image.subject_sha256, name) if self.is_builtin else None
        return Task(
            self.key, self.image.image(contract, text), self.machine, self.again,
            tuple(map(parsed, self.cases)), self.seed, self.without_ownership, design,
            archive if self.keeps else None, self.number, wanted=self.wanted,
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """Of all that its result depends on, but for the package."""
        return hashlib.sha256(encode(self).encode()).hexdigest()


class BuildMade(Record, frozen=True, kw_only=True):
    """What was seen of a build, or what kept it from being judged; `left` by cases with faults."""

    judged: Judged | None = None
    trouble: Trouble | None = None
    left: tuple[CarriedFile, ...] = ()


SpreadBuilds = Running[BuildTask, BuildMade]


def plan_of(subject: Subject, machine: Machine) -> Plan[BuildTask, BuildMade]:
    """The campaign that a check of a core is; all else that results depend on is in the keys of its tasks."""
    files = () if subject.parts else (subject.path,)
    what = f"core {subject.path} {subject.sha256} {identity_of(machine)}"
    identity = hashlib.sha256(what.encode()).hexdigest()
    return Plan("check", judge_sent, BuildMade, identity, files, LIMIT_S, is_final=_is_final)


def _is_final(made: BuildMade) -> bool:
    """Whether nothing went wrong but what the core did: a full disk may be over next time."""
    outcomes = {one.outcome for one in made.judged.results} if made.judged else set()
    return Outcome.ERROR not in outcomes | ({made.trouble.outcome} if made.trouble else set())


def judge_sent(sent: BuildTask) -> BuildMade:
    """Judge a build on a worker.

    Raises:
        HarnessError: a file cannot be had.
    """
    with scratch("core") as folder:
        task = sent.task(folder / "archive")
        try:
            judged = judge_build(task, lambda _: None)
        except HarnessError as error:
            return decode(encode(BuildMade(trouble=trouble_of_a_build(sent.key, error))), BuildMade)
        left = carried(folder / "archive")
    # What UTF-8 cannot carry would not travel.
    return msgspec.structs.replace(decode(encode(BuildMade(judged=judged)), BuildMade), left=left)


def spread_builds(running: SpreadBuilds, tasks: Iterable[Task]) -> Outcomes:
    """Have each build judged as soon as it is made; what came of those that were not is a trouble of theirs.

    Args:
        tasks: made one by one, such as by a build.
    """
    waiting: dict[str, Task] = {}
    judged: list[Judged] = []
    troubles: list[Trouble] = []
    try:
        for task in tasks:
            running.offer(task.image.elf)
            sent = BuildTask.of(task)
            waiting[f"{task.key} {sent.digest}"] = task
            running.submit(f"{task.key} {sent.digest}", sent)
        for done in running.results():
            task = waiting.pop(done.key)
            if isinstance(done.result, Lost):
                troubles.append(lost(task.key, done.result))
            elif done.result.judged is None:
                troubles += [done.result.trouble] if done.result.trouble else []
            else:
                judged.append(_kept(task, done.result.judged, done.result.left))
    except HarnessError as error:  # the campaign is over, and what came so far is evidence
        troubles += [not_evaluated(one.key, error.summary, error.next_step) for one in waiting.values()]
    return Outcomes(tuple(judged), tuple(troubles))


def _kept(task: Task, judged: Judged, left: Iterable[CarriedFile]) -> Judged:
    """Put what cases left into the archive of the command."""
    if task.archive is None:
        return judged
    try:
        add_carried(task.archive, left)
    except (HarnessError, OSError) as error:
        note = f"{task.key}: what cases with faults left is not kept: {error}"
        return msgspec.structs.replace(judged, notes=(*judged.notes, note))
    return judged
