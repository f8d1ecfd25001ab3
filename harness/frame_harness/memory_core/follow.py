"""Follows faults of a core back over its history, all of them together: a build of a version serves each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from frame_harness.base.commands import Say
from frame_harness.base.text import plural
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.build import build
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable, SubjectError
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, Origin, OriginKind, RunKey, Unjudged
from frame_harness.judge.findings import Finding
from frame_harness.machine.definition import Machine
from frame_harness.memory_core.campaign import STORM_CPUS
from frame_harness.memory_core.children import Job, in_processes
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.history import Answer, Shown, next_step
from frame_harness.memory_core.sightings import RACE_TRIES, Fault, Sighting, Sightings, is_race, sightings
from frame_harness.memory_core.steps import parsed
from frame_harness.memory_core.versions import Lineage, NoCore, Sources, Version, sources
from frame_harness.memory_core.worker import LARGE
from frame_harness.session.workers import usable_cpus


@dataclass(frozen=True)
class Wanted:
    """A fault to follow, with the case and the profile that show it."""

    clause: str
    cause: str
    fault: Fault
    case: str
    profile: str


TOLD_EVERY = 10
"""Cases between two words about how far a build is."""
Place = tuple[str, str]
"""What is built: the content of a version, the profile."""
Asked = Mapping[tuple[Version, str], Mapping[str, Sequence[Fault]]]
"""By version and profile the cases to play, with the faults that each is played for."""


def wanted_of(findings: Sequence[Finding]) -> tuple[Wanted, ...]:
    """What to follow of each finding that nobody knows: once, in the profile that serves most of them."""
    fresh = [finding for finding in findings if not finding.known]
    shows_in = Counter(profile for finding in fresh for profile in {run.profile for run in finding.runs})
    # Of two that serve as many, the build without debug assertions: they may end a case early.
    order = sorted(shows_in, key=lambda profile: (-shows_in[profile], profile != "release"))
    return tuple(_wanted(finding, _first_in(order, finding)) for finding in fresh)


def _first_in(order: Sequence[str], finding: Finding) -> CheckResult:
    return min(finding.results, key=lambda result: order.index(result.run.profile))


def _wanted(finding: Finding, result: CheckResult) -> Wanted:
    fault = Fault.of(finding.clause, finding.cause, result.got)
    return Wanted(finding.clause, finding.cause, fault, result.case, result.run.profile)


@dataclass
class Follower:
    """Plays the cases of faults on the versions that `next_step` asks for, round by round.

    Attributes:
        toolchain: what to build with.
        say: is told how far it is.
    """

    lineage: Lineage
    toolchain: Toolchain
    machine: Machine
    say: Say
    _seen: dict[tuple[Place, str, Fault], Sighting] = field(default_factory=dict)
    """What a case showed in a build when it was played for a fault."""
    _unbuilt: dict[Place, str] = field(default_factory=dict)
    """Why there is no build."""

    def origins(self, wanted: Sequence[Wanted], found: Callable[[Origin], None]) -> None:
        """Tell where each fault came from, as soon as that is known.

        Raises:
            HarnessError: something else than a version is at fault.
        """
        left = list(wanted)
        with sources(self.lineage, self.say) as taken_out:
            for number in range(1, 3 + len(self.lineage.versions)):
                steps = [(one, self._next(one)) for one in left]
                for one, step in steps:
                    if isinstance(step, Answer):
                        found(self._origin(one, step))
                left = [one for one, step in steps if not isinstance(step, Answer)]
                asked = self._asked(steps)
                if not asked:
                    return
                words = f"{plural(len(asked), 'build')}, {plural(sum(map(len, asked.values())), 'case')}"
                self.say(f"history: round {number}, {plural(len(left), 'fault')} to follow: {words}")
                self._play(asked, taken_out)

    def _next(self, one: Wanted) -> tuple[int, ...] | Answer:
        return next_step(len(self.lineage.versions), {at: shown for at, (shown, _) in self._shown(one)})

    def _shown(self, one: Wanted) -> Iterator[tuple[int, tuple[Shown, str]]]:
        """What every version that was asked says of a fault, with the reason where it says nothing."""
        for at, version in enumerate(self.lineage.versions):
            place = version.content, one.profile
            if place in self._unbuilt:
                yield at, (Shown.UNKNOWN, self._unbuilt[place])
            elif (seen := self._seen.get((place, one.case, one.fault))) is not None:
                yield at, seen.of(one.fault)

    def _asked(self, steps: Sequence[tuple[Wanted, tuple[int, ...] | Answer]]) -> Asked:
        """By version and profile the cases to play, each with its faults, the newest version first."""
        asked: dict[Place, dict[str, list[Fault]]] = {}
        versions: dict[str, Version] = {}
        for one, step in steps:
            for at in () if isinstance(step, Answer) else step:
                version = self.lineage.versions[at]
                versions.setdefault(version.content, version)
                of_build = asked.setdefault((version.content, one.profile), {})
                of_build.setdefault(one.case, []).append(one.fault)
        order = [version.content for version in reversed(self.lineage.versions)]
        places = sorted(asked, key=lambda place: order.index(place[0]))
        return {(versions[content], profile): asked[content, profile] for content, profile in places}

    def _play(self, asked: Asked, taken_out: Sources) -> None:
        ended = in_processes(
            self._jobs(asked, taken_out), Sightings, lambda name, words: self.say(f"{name}: {words}"),
            most=usable_cpus(),
        )  # fmt: skip
        of_name = {_name(version, profile): (version, profile) for version, profile in asked}
        for job, outcome in ended:
            version, profile = of_name[job.name]
            place = version.content, profile
            if isinstance(outcome, Sightings):
                for (case, faults), one in zip(asked[version, profile].items(), outcome.seen, strict=True):
                    self._seen |= {(place, case, fault): one for fault in faults}
            else:
                self._unbuilt[place] = outcome.message

    def _jobs(self, asked: Asked, taken_out: Sources) -> Iterator[Job[Sightings]]:
        for (version, profile), cases in asked.items():
            name = _name(version, profile)
            try:
                subject = taken_out.subject(version)
                image = build(subject, profile, toolchain=self.toolchain, say=self.say)
            except CompileError as error:
                self._unbuilt[version.content, profile] = f"it does not compile: {error.first}"
            except NotJudgeable as error:
                self._unbuilt[version.content, profile] = error.detail
            except (NoCore, SubjectError) as error:
                self._unbuilt[version.content, profile] = str(error)
            else:
                run = RunKey(self.machine.name, profile)
                yield Job(name, run, partial(_sightings, image, self.machine, cases))

    def _origin(self, one: Wanted, answer: Answer) -> Origin:
        versions, shown = self.lineage.versions, dict(self._shown(one))
        bad = len(versions) - 1 if answer.bad is None else answer.bad
        if answer.bad is None:
            kind, silent = OriginKind.NOT_SHOWN, [bad]
        elif answer.good is None:
            kind, silent = OriginKind.ALREADY, [at for at in range(bad) if at in shown]
        else:
            silent = [*range(answer.good + 1, bad)]
            kind = OriginKind.BETWEEN if silent else OriginKind.BROUGHT
        return Origin(
            clause=one.clause, cause=one.cause, kind=kind, profile=one.profile, commit=versions[bad].commit,
            before=None if answer.good is None else versions[answer.good].commit,
            unjudged=tuple(Unjudged(commit=versions[at].commit, why=shown[at][1]) for at in silent),
            case=self._case_of(one, versions[bad]), versions=len(versions),
            tries=RACE_TRIES if is_race(parsed(one.case)) else 0,
        )  # fmt: skip

    def _case_of(self, one: Wanted, version: Version) -> str:
        seen = self._seen.get(((version.content, one.profile), one.case, one.fault))
        return seen.case_of(one.fault) if seen is not None else ""


def _name(version: Version, profile: str) -> str:
    return f"history: {version.commit.short or 'working tree'} ({profile})"


def _sightings(image: Image, machine: Machine, cases: Mapping[str, Sequence[Fault]], say: Say) -> Sightings:
    """Play cases on one build, in a process of its own."""
    seen: list[Sighting] = []
    core = CoreGuest(
        lambda: BootedGuest.boot(image, machine, init="none", ram=LARGE, cpus=STORM_CPUS),
        lambda guest: guest.finish(),
    )
    with core:
        for one in sightings(core, [(parsed(case), faults) for case, faults in cases.items()]):
            seen.append(one)
            if len(seen) in (*range(0, len(cases), TOLD_EVERY), len(cases)):
                say(f"{len(seen)} of {plural(len(cases), 'case')}")
    return Sightings(seen=tuple(seen))
