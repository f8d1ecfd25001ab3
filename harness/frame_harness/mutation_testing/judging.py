"""Builds one mutant of a frame module and judges it: the work of a task, on whatever machine it runs."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.campaigns.files import path_of
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.errors import CompileError, NotJudgeable
from frame_harness.judge.evidence import RunKey
from frame_harness.machine.definition import load_machines
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.places import MutantBuilds, laid_out
from frame_harness.mutation_testing.records import Fate, Judged
from frame_harness.mutation_testing.reference import Reference
from frame_harness.mutation_testing.suite import Suite
from frame_harness.session.request import SessionRequest

REFERENCE = "reference.json"


class FrameTask(Record, frozen=True, kw_only=True):
    """A mutant of a frame module.

    `texts` are the module's files by their names, `frame.rs` and what lies in `frame/`, each by its sha256;
    so is `reference`. `machines` are as `--machine` names them; `runs` those of the reference to judge it in.
    """

    mutant: Mutant
    texts: dict[str, str]
    reference: str
    machines: tuple[str, ...]
    runs: tuple[RunKey, ...]


@dataclass
class Clock:
    """CPU time of this process and of those that it waited for."""

    build_s: float = 0.0
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = _cpu_s()

    @property
    def spent_s(self) -> float:
        """Since it was made."""
        return _cpu_s() - self._began

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Count what is spent meanwhile as that of a build."""
        began = _cpu_s()
        try:
            yield
        finally:
            self.build_s += _cpu_s() - began


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def judge_mutant(task: FrameTask) -> Judged:
    """Build and judge a mutant; an error of the harness is a fate, too: others are judged all the same."""
    return timed(task.mutant, lambda clock: _judged(task, clock))


def timed(mutant: Mutant, work: Callable[[Clock], Judged]) -> Judged:
    """Return what work on a mutant comes to, with the CPU time that it took."""
    clock = Clock()
    try:
        found = work(clock)
    except (CompileError, NotJudgeable) as error:
        found = Judged(key=mutant.key, fate=Fate.DOES_NOT_COMPILE, why=error.summary)
    except HarnessError as error:
        found = Judged(key=mutant.key, fate=Fate.ERROR, why=error.summary)
    return replace(found, cpu_s=clock.spent_s, build_cpu_s=clock.build_s)


def _judged(task: FrameTask, clock: Clock) -> Judged:
    reference = read_reference(task.reference)
    texts = {name: path_of(sha256, name).read_bytes() for name, sha256 in task.texts.items()}
    with laid_out(texts, task.mutant) as path:
        subject = frame_module(path)
        builds = MutantBuilds(subject, task.mutant, clock)
        suite = Suite(_request(task, path.name), reference, task.mutant)
        for runs in stages(task.runs):
            images = {profile: builds.image(profile) for profile in {run.profile for run in runs}}
            suite.make(runs, images, next(iter(images.values())).subject)
            if suite.seen.kill is not None:
                break
    seen = suite.seen
    if seen.kill is not None:
        return Judged(key=task.mutant.key, fate=Fate.KILLED, kill=seen.kill, checks=seen.checks)
    if seen.error:
        return Judged(key=task.mutant.key, fate=Fate.ERROR, why=seen.error, checks=seen.checks)
    return Judged(key=task.mutant.key, fate=Fate.SURVIVED, checks=seen.checks)


def _request(task: FrameTask, name: str) -> SessionRequest:
    return SessionRequest(
        subject=frame_module(), machines=load_machines(task.machines), profiles=(), any_machine=True,
        frame_rs=name, evidence=True,
    )  # fmt: skip


def stages(runs: Sequence[RunKey]) -> Iterator[list[RunKey]]:
    """Yield runs that are made one behind the other: the first machine's by profile, then all others.

    The first machine has the most checks, and another profile takes another build.
    """
    first = [run for run in runs if run.machine == runs[0].machine]
    yield from ([run] for run in first)
    if others := [run for run in runs if run not in first]:
        yield others


def read_reference(sha256: str) -> Reference:
    """Return what the checks said of the subject."""
    return msgspec.json.decode(path_of(sha256, REFERENCE).read_bytes(), type=Reference)
