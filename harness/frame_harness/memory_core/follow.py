"""Follows faults of a core back over its history, all of them together: a build of a version serves each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from frame_harness.base.commands import Say
from frame_harness.base.text import plural
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import CompileError, NotJudgeable, SubjectError
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, RunKey
from frame_harness.judge.findings import Finding
from frame_harness.judge.origin import Origin, OriginKind, Unjudged
from frame_harness.machine.definition import Machine
from frame_harness.memory_core.children import BuildJob, in_processes
from frame_harness.memory_core.following import (
    ContentAndProfile,
    VersionSpread,
    VersionTask,
    asked_of,
    play_asked,
    spread_out,
)
from frame_harness.memory_core.history import FollowAnswer, Shown, next_step
from frame_harness.memory_core.sightings import (
    RACE_TRIES,
    CaseSighting,
    Fault,
    Sightings,
    is_race,
)
from frame_harness.memory_core.steps import parsed
from frame_harness.memory_core.tree import build_core
from frame_harness.memory_core.versions import Lineage, NoCore, Sources, Version, sources
from frame_harness.session.workers import usable_cpus


@dataclass(frozen=True)
class WantedFault:
    """A fault to follow, with the case and the profile that show it."""

    clause: str
    cause: str
    fault: Fault
    case: str
    profile: str


@dataclass(frozen=True)
class Question:
    """Versions to play a fault's case on; `survey`: and whatever else a campaign plays."""

    versions: tuple[int, ...]
    survey: bool


AskedVersions = Sequence[VersionTask]


def wanted_of(findings: Sequence[Finding]) -> tuple[WantedFault, ...]:
    """What to follow of each finding that nobody knows: once, in the profile that serves most of them."""
    fresh = [finding for finding in findings if not finding.known]
    shows_in = Counter(profile for finding in fresh for profile in {run.profile for run in finding.runs})
    # Of two that serve as many, the build without debug assertions: they may end a case early.
    order = sorted(shows_in, key=lambda profile: (-shows_in[profile], profile != "release"))
    return tuple(_wanted(finding, _first_in(order, finding)) for finding in fresh)


def _first_in(order: Sequence[str], finding: Finding) -> CheckResult:
    return min(finding.results, key=lambda result: order.index(result.run.profile))


def _wanted(finding: Finding, result: CheckResult) -> WantedFault:
    fault = Fault.of(finding.clause, finding.cause, result.got)
    return WantedFault(finding.clause, finding.cause, fault, result.case, result.run.profile)


@dataclass
class Follower:
    """Plays the cases of faults on the versions that `next_step` asks for, round by round."""

    lineage: Lineage
    toolchain: Toolchain
    """What to build with."""
    machine: Machine
    say: Say
    """Is told how far it is."""
    spread: VersionSpread | None = None
    """The workers that play; None for processes of this one."""
    _seen: dict[tuple[ContentAndProfile, str, Fault], CaseSighting] = field(default_factory=dict)
    """What a case showed in a build when it was played for a fault."""
    _unbuilt: dict[ContentAndProfile, str] = field(default_factory=dict)
    """Why there is no build, or nothing that can be played on it."""
    _surveys: dict[ContentAndProfile, Mapping[Fault, str]] = field(default_factory=dict)
    """The faults that a survey of a build showed, each with a case."""
    _cut: dict[ContentAndProfile, str] = field(default_factory=dict)
    """Why a survey ended early: what it did not show may be there."""
    _elusive: set[Fault] = field(default_factory=set)
    """Faults that a survey showed where their case did not: by its case alone no version counts as good."""

    def origins(self, wanted: Sequence[WantedFault], found: Callable[[Origin], None]) -> None:
        """Tell where each fault came from, as soon as that is known.

        Raises:
            HarnessError: something else than a version is at fault.
        """
        left = list(wanted)
        with sources(self.lineage, self.say) as taken_out:
            for number in count(1):
                steps = [(one, self._next(one)) for one in left]
                for one, step in steps:
                    if isinstance(step, FollowAnswer):
                        found(self._origin(one, step))
                left = [one for one, step in steps if not isinstance(step, FollowAnswer)]
                asked = self._asked(steps)
                if not asked:
                    return
                self.say(f"history: round {number}, {plural(len(left), 'fault')} to follow: {_size(asked)}")
                self._play(asked, taken_out)

    def _next(self, one: WantedFault) -> Question | FollowAnswer:
        """What to find out next: no version is called good in an answer before it was surveyed."""
        seen = {at: shown for at, (shown, _) in self._shown(one)}
        step = next_step(len(self.lineage.versions), seen)
        if not isinstance(step, FollowAnswer):
            return Question(step, survey=one.fault in self._elusive)
        if step.good is None or is_race(parsed(one.case)):
            return step
        place = self.lineage.versions[step.good].content, one.profile
        return step if place in self._surveys else Question((step.good,), survey=True)

    def _shown(self, one: WantedFault) -> Iterator[tuple[int, tuple[Shown, str]]]:
        """What every version that was asked says of a fault, with the reason where it says nothing."""
        for at, version in enumerate(self.lineage.versions):
            place = version.content, one.profile
            seen, survey = self._seen.get((place, one.case, one.fault)), self._surveys.get(place)
            if one.fault in (survey or ()) or (seen is not None and seen.of(one.fault)[0] is Shown.BAD):
                yield at, (Shown.BAD, "")
            elif place in self._unbuilt:
                yield at, (Shown.UNKNOWN, self._unbuilt[place])
            elif seen is not None and (survey is not None or one.fault not in self._elusive):
                shown = seen.of(one.fault)
                cut = "" if shown[0] is not Shown.GOOD or is_race(parsed(one.case)) else self._cut.get(place)
                yield at, (Shown.UNKNOWN, cut) if cut else shown

    def _asked(self, steps: Sequence[tuple[WantedFault, Question | FollowAnswer]]) -> AskedVersions:
        """What to play on each build, the newest version first."""
        asked: dict[ContentAndProfile, VersionTask] = {}
        for one, step in steps:
            if isinstance(step, FollowAnswer):
                continue
            for at in step.versions:
                version = self.lineage.versions[at]
                place = version.content, one.profile
                task = asked.setdefault(place, VersionTask(version, one.profile))
                task.survey |= step.survey and place not in self._surveys
                if (place, one.case, one.fault) not in self._seen:
                    task.cases.setdefault(one.case, []).append(one.fault)
        order = [version.content for version in reversed(self.lineage.versions)]
        return sorted(asked.values(), key=lambda task: order.index(task.version.content))

    def _play(self, asked: AskedVersions, taken_out: Sources) -> None:
        builds = self._builds(asked, taken_out)
        ended = self._here(builds) if self.spread is None else spread_out(self.spread, self.machine, builds)
        for task, outcome in ended:
            if not isinstance(outcome, Sightings):
                self._unbuilt[task.place] = outcome
                continue
            for (case, faults), one in zip(task.cases.items(), outcome.seen, strict=True):
                self._seen |= {(task.place, case, fault): one for fault in faults}
            if outcome.survey is not None:
                self._surveys[task.place] = found = dict(outcome.survey)
                self._cut |= {task.place: outcome.cut} if outcome.cut else {}
                self._elusive |= self._unseen_by_their_cases(task.place) & found.keys()

    def _here(
        self, builds: Iterator[tuple[VersionTask, Image]]
    ) -> Iterator[tuple[VersionTask, Sightings | str]]:
        """Play in processes that are forked from this one; of what cannot be played the reason."""
        of_name: dict[str, VersionTask] = {}

        def jobs() -> Iterator[BuildJob[Sightings]]:
            for task, image in builds:
                of_name[task.name] = task
                run = RunKey(self.machine.name, task.profile)
                yield BuildJob(task.name, run, partial(play_asked, image, self.machine, asked_of(task)))

        for job, outcome in in_processes(
            jobs(), Sightings, lambda name, words: self.say(f"{name}: {words}"), most=usable_cpus()
        ):
            yield of_name[job.name], outcome if isinstance(outcome, Sightings) else outcome.message

    def _unseen_by_their_cases(self, place: ContentAndProfile) -> set[Fault]:
        return {
            fault
            for (where, _, fault), seen in self._seen.items()
            if where == place and seen.of(fault)[0] is not Shown.BAD
        }

    def _builds(self, asked: AskedVersions, taken_out: Sources) -> Iterator[tuple[VersionTask, Image]]:
        for task in asked:
            try:
                subject = taken_out.subject(task.version)
                image, _ = build_core(subject, task.profile, self.toolchain, self.say)
            except CompileError as error:
                self._unbuilt[task.place] = f"it does not compile: {error.first}"
            except NotJudgeable as error:
                self._unbuilt[task.place] = error.detail
            except (NoCore, SubjectError) as error:
                self._unbuilt[task.place] = str(error)
            else:
                yield task, image

    def _origin(self, one: WantedFault, answer: FollowAnswer) -> Origin:
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

    def _case_of(self, one: WantedFault, version: Version) -> str:
        """The case that shows a fault in a version, where its own does not."""
        place = version.content, one.profile
        seen = self._seen.get((place, one.case, one.fault))
        if seen is not None and seen.of(one.fault)[0] is Shown.BAD:
            return seen.case_of(one.fault)
        return self._surveys.get(place, {}).get(one.fault, "")


def _size(asked: AskedVersions) -> str:
    surveys = sum(task.survey for task in asked)
    parts = [plural(len(asked), "build"), plural(sum(len(task.cases) for task in asked), "case")]
    return ", ".join(parts + ([plural(surveys, "survey")] if surveys else []))
