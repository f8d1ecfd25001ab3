"""Builds one mutant of a frame module and judges it: the work of a task, on whatever machine it runs."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.campaigns.files import path_of
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.judge.evidence import RunKey
from frame_harness.machine.definition import Machine
from frame_harness.mutation.building import (
    Builder,
    BuiltMutant,
    DoesNotCompile,
    Equivalent,
    NotLinked,
    build_mutant,
    builder,
)
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.records import Fate, JudgedMutant, Kill
from frame_harness.mutation_testing.reference import Reference
from frame_harness.mutation_testing.suite import STORMS_AGAIN, Suite
from frame_harness.session.request import SessionRequest

LEAST_CPU_S: Final = 6.0
"""Storms need a part of it to run at all."""
FACTOR: Final = 4
"""So many times what the longest check of a machine took may one request of a mutant take, or its boot."""


def with_hang_limits(machines: Mapping[str, Machine], reference: Reference) -> dict[str, Machine]:
    """Return machines whose limits for a boot and for a request are as short as the subject allows.

    A check boots guests and makes many requests, most of them in milliseconds. What takes the CPU time of
    several whole checks counts as a hang; `check` would wait longer. A subject that hangs itself has checks
    that took the whole limit, which then stays. Machines that a check names by itself keep their limits.
    """
    longest: dict[str, float] = {}
    for one in reference.results:
        longest[one.run.machine] = max(longest.get(one.run.machine, 0.0), one.duration_s)
    return {
        key: _limited(one, max(LEAST_CPU_S, FACTOR * longest[one.name])) if one.name in longest else one
        for key, one in machines.items()
    }


def _limited(machine: Machine, cpu_s: float) -> Machine:
    own, cpu_s = machine.limits, round(cpu_s, 1)
    return machine.override(
        limits={"boot_cpu_s": min(own.boot_cpu_s, cpu_s), "request_cpu_s": min(own.request_cpu_s, cpu_s)}
    )


REFERENCE = "reference.json"


class FrameTask(Record, frozen=True, kw_only=True):
    """A mutant of a frame module.

    `texts` are the module's files by their names, `frame.rs` and what lies in `frame/`, each by its sha256;
    so is `reference`. `machines` are those of the command, by what `--machine` calls each: a worker has other
    files; checks that name others have these only where `any_machine` says so. `runs` are those of the
    reference to judge it in; with `one_run` one of them, on the first machine, in a profile whose machine
    code differs from the subject's where there is one.
    """

    mutant: Mutant
    texts: dict[str, str]
    reference: str
    machines: dict[str, Machine]
    any_machine: bool
    runs: tuple[RunKey, ...]
    one_run: bool = False


class Clock:
    """CPU time of this process and of those that it waited for.

    Attributes:
        build_s: that part of it which went into builds.
    """

    def __init__(self) -> None:
        self.build_s = 0.0
        self._began = _cpu_s()

    @property
    def spent_s(self) -> float:
        """CPU time in seconds since this was made."""
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


class Builds:
    """A mutant in one profile after the other, each built when it is first asked for."""

    def __init__(self, builds: Builder, built: BuiltMutant, clock: Clock) -> None:
        self._builds, self._built, self._clock = builds, built, clock
        self._images = dict(built.images)
        self._differs: dict[str, bool] = dict.fromkeys(built.images, False) | dict.fromkeys(
            built.differing, True
        )

    def image(self, profile: str) -> Image:
        """Return the mutant as it is built in a profile."""
        if profile not in self._images:
            with self._clock.building():
                self._images[profile] = self._builds.image(self._built.mutant, profile)
        return self._images[profile]

    def differs(self, profile: str) -> bool:
        """Whether the machine code is another than the subject's; where it is not, no guest can tell."""
        if profile not in self._differs:
            image = self.image(profile)
            with self._clock.building():
                self._differs[profile] = self._builds.program(image) != self._builds.base(profile).program
        return self._differs[profile]

    def first_differing(self, profiles: Sequence[str]) -> list[str]:
        """Return profiles, those first in which it is known that the machine code differs."""
        return sorted(profiles, key=lambda one: not self._differs.get(one, False))


MutantOutcome = Builds | JudgedMutant
"""A mutant to be judged; or what became of one that needs no guest."""


def built(builds: Builder, mutant: Mutant, profiles: Sequence[str], clock: Clock) -> MutantOutcome:
    """Build a mutant as far as it takes to know whether it is another program."""
    order = sorted(profiles, key=lambda one: one != "release")  # the optimizer leaves the fewest differences
    with clock.building():
        found = build_mutant(builds, mutant, order)
    match found:
        case DoesNotCompile():
            return JudgedMutant(key=mutant.key, fate=Fate.DOES_NOT_COMPILE, why=found.first)
        case Equivalent():
            return JudgedMutant(key=mutant.key, fate=Fate.EQUIVALENT)
        case NotLinked():
            return JudgedMutant(
                key=mutant.key, fate=Fate.NOT_LINKED, why="the kernel has no code of its function"
            )
    return Builds(builds, found, clock)


def judge_mutant(task: FrameTask) -> JudgedMutant:
    """Build and judge a mutant; an error of the harness is a fate, too: others are judged all the same."""
    return timed(task.mutant, lambda clock: _judged(task, clock))


def timed(mutant: Mutant, work: Callable[[Clock], JudgedMutant]) -> JudgedMutant:
    """Return what work on a mutant comes to, with the CPU time that it took."""
    clock = Clock()
    try:
        found = work(clock)
    except CompileError as error:  # in a further profile
        found = JudgedMutant(key=mutant.key, fate=Fate.DOES_NOT_COMPILE, why=error.first)
    except HarnessError as error:
        found = JudgedMutant(key=mutant.key, fate=Fate.ERROR, why=error.summary)
    return replace(found, cpu_s=clock.spent_s, build_cpu_s=clock.build_s)


def _judged(task: FrameTask, clock: Clock) -> JudgedMutant:
    reference, texts = read_reference(task.reference), read_texts(task.texts)
    name = next(iter(texts))
    profiles = tuple(dict.fromkeys(run.profile for run in task.runs))
    with builder(texts, lambda folder: frame_module(folder / name)) as builds:
        found = built(builds, task.mutant, profiles, clock)
        if isinstance(found, JudgedMutant):
            return found
        suite = Suite(_request(task, reference), reference, task.mutant)
        made = 0
        for runs in stages(task.runs, found):
            if task.one_run and made:
                break
            made += len(runs)
            images = {profile: found.image(profile) for profile in {run.profile for run in runs}}
            alike = frozenset(profile for profile in images if not found.differs(profile))
            suite.make(runs, images, alike)
            if suite.seen.kill is not None:
                break
    seen = suite.seen
    if seen.kill is not None:
        return JudgedMutant(key=task.mutant.key, fate=Fate.KILLED, kill=seen.kill, checks=seen.checks)
    if error := seen.error or told_once(seen.doubtful):
        return JudgedMutant(key=task.mutant.key, fate=Fate.ERROR, why=error, checks=seen.checks)
    every = made == len(task.runs)
    return JudgedMutant(key=task.mutant.key, fate=Fate.SURVIVED, checks=seen.checks, every_run=every)


def told_once(doubtful: Sequence[Kill]) -> str:
    """Say why a mutant that only a storm found, and not again, is neither killed nor a survivor."""
    if not doubtful:
        return ""
    first = doubtful[0]
    return (
        f"{first.check}: {first.run}: {first.message}: seen once, not in {STORMS_AGAIN} storms more; "
        "the race may be the subject's own"
    )


def _request(task: FrameTask, reference: Reference) -> SessionRequest:
    return SessionRequest(
        subject=frame_module(), machines=with_hang_limits(task.machines, reference), profiles=(),
        any_machine=task.any_machine,
        evidence=True,
    )  # fmt: skip


def stages(runs: Sequence[RunKey], builds: Builds) -> Iterator[list[RunKey]]:
    """Yield runs that are made one behind the other: the first machine's by profile, then all others.

    The first machine has the most checks, and another profile takes another build.
    """
    first = [run for run in runs if run.machine == runs[0].machine]
    by_profile = {run.profile: run for run in first}
    yield from ([by_profile[profile]] for profile in builds.first_differing(list(by_profile)))
    if others := [run for run in runs if run not in first]:
        yield others


def read_reference(sha256: str) -> Reference:
    """Return what the checks said of the subject."""
    return msgspec.json.decode(path_of(sha256, REFERENCE).read_bytes(), type=Reference)


def read_texts(digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of a subject by their names."""
    return {name: path_of(sha256, name).read_bytes() for name, sha256 in digests.items()}
