"""Builds one mutant of a kernel's memory core and judges it by the core's cases: the work of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.record import Record
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, Witness
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.clauses import OWNING
from frame_harness.memory_core.design import TREE
from frame_harness.memory_core.owning_files import lacking
from frame_harness.memory_core.steps import parsed
from frame_harness.memory_core.tree import core_in, without_ownership
from frame_harness.memory_core.worker import Judged as JudgedBuild
from frame_harness.memory_core.worker import Task, judge_build
from frame_harness.mutation.building import builder
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.judging import (
    Clock,
    built,
    read_reference,
    read_texts,
    timed,
    told_once,
)
from frame_harness.mutation_testing.records import Fate, How, JudgedMutant, Kill
from frame_harness.mutation_testing.reference import Reference, kill_by_result
from frame_harness.mutation_testing.suite import STORMS_AGAIN


class CoreTask(Record, frozen=True, kw_only=True):
    """A mutant of a memory core.

    `texts` are the Rust files of its folder by their names, each by its sha256; so is `reference`. `runs` are
    those to judge it in; with `one_run` the first whose machine code differs. `request_cpu_s` is the limit of
    a request, `seed` that of its histories.
    """

    mutant: Mutant
    texts: dict[str, str]
    reference: str
    runs: tuple[RunKey, ...]
    request_cpu_s: float
    seed: int
    one_run: bool = False


_OF_ANOTHER_KERNEL: Final = "owners of blocks for this kernel"
_OF_THE_HOST: Final = frozenset({GuestEnd.KILLED, GuestEnd.SIGNALED, GuestEnd.REFUSED})
"""Ends that say nothing about the core: `judge.of_checks` has them as errors, too."""


def judge_core_mutant(task: CoreTask) -> JudgedMutant:
    """Build and judge a mutant; an error of the harness is a fate, too: others are judged all the same."""
    return timed(task.mutant, lambda clock: _judged(task, clock))


def _judged(task: CoreTask, clock: Clock) -> JudgedMutant:
    reference, cases, judged = read_reference(task.reference), 0, 0
    runs = {run.profile: run for run in task.runs}
    with builder(read_texts(task.texts), lambda folder: _core_in(folder, reference)) as builds:
        found = built(builds, task.mutant, tuple(runs), clock)
        if isinstance(found, JudgedMutant):
            return found
        for profile in found.first_differing(list(runs)):
            image = found.image(profile)
            if not found.differs(profile):
                continue  # no guest can tell the two from each other
            if task.one_run and judged:
                return JudgedMutant(key=task.mutant.key, fate=Fate.SURVIVED, checks=cases, every_run=False)
            judged += 1
            of = _of_run(task, runs[profile], image, reference)
            seen = judge_build(of, lambda _: None)
            cases += sum(seen.ledger.invariants.values())
            if kill := _kill(seen, reference):
                if kill.by_storm and not _shows_again(of, kill):
                    return JudgedMutant(
                        key=task.mutant.key, fate=Fate.ERROR, why=told_once([kill]), checks=cases
                    )  # fmt: skip
                return JudgedMutant(key=task.mutant.key, fate=Fate.KILLED, kill=kill, checks=cases)
            _require_as_much(seen.results, runs[profile], reference)
    return JudgedMutant(key=task.mutant.key, fate=Fate.SURVIVED, checks=cases)


def _core_in(folder: Path, reference: Reference) -> Subject:
    """The core as it was judged itself: without owners of blocks that are made for another kernel."""
    subject = core_in(folder, folder.name)
    absent = {one for of in reference.results if of.outcome is Outcome.ABSENT for one in of.clauses}
    return without_ownership(subject) if subject.features and absent & set(OWNING) else subject


def _shows_again(task: Task, kill: Kill) -> bool:
    """Whether one of some storms more tells the mutant from the subject; nothing comes behind storms."""
    alone = replace(task, cases=(parsed(kill.case),))
    for _ in range(STORMS_AGAIN):
        seen = judge_build(alone, lambda _: None)
        if any((clause, one.cause) not in task.known for one in seen.results for clause in one.broken):
            return True
    return False


def _require_as_much(results: Sequence[CheckResult], run: RunKey, reference: Reference) -> None:
    """Refuse to call a mutant a survivor of cases that only this host had no room for."""
    known = {one.check for one in reference.results if one.run == run and one.outcome is Outcome.SKIPPED}
    for one in results:
        if one.outcome is Outcome.SKIPPED and one.check not in known:
            raise HarnessError(
                one.check, str(run), detail=one.message, next_step="use a host with more memory"
            )


def _of_run(task: CoreTask, run: RunKey, image: Image, reference: Reference) -> Task:
    machine = load_machine(run.machine).override(limits={"request_cpu_s": task.request_cpu_s})
    known = frozenset(
        (clause, one.cause) for one in reference.results if one.run == run for clause in one.broken
    )
    without = lacking(image.subject.path) or ("" if image.subject.features else _OF_ANOTHER_KERNEL)
    return Task(
        run, image, machine, again="", seed=task.seed, without_ownership=without, design=TREE, known=known,
        until_first=True,
    )  # fmt: skip


def _kill(seen: JudgedBuild, reference: Reference) -> Kill | None:
    """What tells a mutant from the subject: a fault, a hang, else what keeps a run from being believed."""
    run = seen.ledger.run
    if broken := [one for one in seen.results if one.outcome is Outcome.VIOLATED]:
        return kill_by_result(How.FINDING, broken[0], broken[0].broken)
    if seen.ledger.layout.guest_bytes is Witness.DIFFERS:
        return Kill(how=How.FINDING, run=run, check="layout", message=seen.ledger.layout.text)
    if ended := [one for one in seen.ledger.exits if one.got is not GuestEnd.PASS]:
        if faults := [one for one in ended if one.got in _OF_THE_HOST]:
            raise HarnessError("guest", str(run), detail=faults[0].text)
        return Kill(how=How.NO_PASS, run=run, message=f"a guest ended otherwise: {ended[0].text}")
    return _unjudged(run, seen.results, reference)


def _unjudged(run: RunKey, results: Sequence[CheckResult], reference: Reference) -> Kill | None:
    """A clause that was judged on the subject and cannot be on the mutant."""
    judged = {one.check for one in reference.results if one.run == run and one.outcome is Outcome.PASSED}
    for one in results:
        if one.check in judged and one.outcome is not Outcome.PASSED:
            return Kill(how=How.NO_PASS, run=run, check=one.check, clauses=one.clauses, message=one.message)
    return None
