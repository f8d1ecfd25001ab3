"""Judges a memory core: that of a kernel tree, or the built-in allocators with a frame module."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from _pytest.mark.expression import Expression

from frame_harness.archive.files import own_files
from frame_harness.base import report_files
from frame_harness.base.commands import Say, telling_through
from frame_harness.base.errors import HarnessError
from frame_harness.base.profiles import BOTH, profiles_named
from frame_harness.base.program import program
from frame_harness.base.report_files import NO_REPORTS, ReportFiles
from frame_harness.campaigns.engine import campaign
from frame_harness.cli import upstream
from frame_harness.cli.baseline_file import load_baseline
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions
from frame_harness.cli.core_cases import Cases, cases_to_play, clauses_of
from frame_harness.cli.html_page import save_page
from frame_harness.cli.last_broken import broken_before, narrowed, none_broken, remember_cases
from frame_harness.cli.origins import with_origins
from frame_harness.cli.reporting import Examined, Made, publish_and_keep
from frame_harness.frame_metadata.subject import modules_of
from frame_harness.image.build import require_settings
from frame_harness.image.compiler import Toolchain
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.difference import BrokenCheck
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    PlannedCheck,
    RunKey,
    Trouble,
)
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.judge.verdict import judge
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.memory_core.builtin import BUILTIN, WITHOUT_OWNERSHIP, builtin_core
from frame_harness.memory_core.checks import NAME, planned
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.design import TREE, Design
from frame_harness.memory_core.owning_files import lacking
from frame_harness.memory_core.processes import Outcomes, judge_builds
from frame_harness.memory_core.spread import plan_of, spread_builds
from frame_harness.memory_core.steps import parsed
from frame_harness.memory_core.tree import build_core, described, memory_core
from frame_harness.memory_core.versions import lineage_of
from frame_harness.memory_core.worker import SEED, Judged, Task
from frame_harness.publishing.run_archive import archive_of_a_run
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for
from frame_harness.session.request import info_of
from frame_harness.session.run import merge
from frame_harness.session.runs import build_trouble, changes, words_of
from frame_harness.session.selection import require_selection

MACHINE = "microvm"
REQUEST_CPU_S = 6.0
"""Of CPU time for one request; the longest one, a start on a map of 5 GiB, takes a second."""


@dataclass(frozen=True)
class CoreRequest:
    """What to judge, and where the reports go.

    Attributes:
        kernel_src: the tree; None for the built-in allocators.
        frame_rs: the frame module with these; None for the built-in one.
        case: the only one to play, as a report writes it; empty for a whole campaign.
        last_failed: a JSON report whose cases are the only ones, or `LAST_RUN`.
        since: the commit that findings are followed back to; empty where they are not followed.
        where: they are followed; without `since`, builds are judged.
    """

    kernel_src: Path | None = None
    frame_rs: Path | None = None
    profile: str = BOTH
    select: str = ""
    case: str = ""
    baseline: Path | None = None
    files: ReportFiles = NO_REPORTS
    seed: int = SEED
    last_failed: Path | None = None
    since: str = ""
    where: CampaignOptions = NO_CAMPAIGN

    @property
    def selection(self) -> str:
        """What was asked for alone, for a report."""
        return " of ".join(
            part for part in (self.select, f"the case {self.case}" if self.case else "") if part
        )

    @property
    def again(self) -> str:
        """The command that plays a case again, before the profile and the case."""
        if self.kernel_src is not None:
            return f"{program()} check --kernel-src {shlex.quote(str(self.kernel_src))}"
        of_file = "" if self.frame_rs is None else f" --frame-rs {shlex.quote(str(self.frame_rs))}"
        return f"{program()} check --core{of_file}"

    def core(self) -> Core:
        """What is judged.

        Raises:
            SubjectError: there is no such tree or file.
        """
        if self.kernel_src is not None:
            subject = memory_core(self.kernel_src)
            return Core(subject, TREE, described(subject), lacking(subject.path))
        subject = builtin_core(self.frame_rs)
        words = f"memory core: the built-in allocators with {subject.path}"
        return Core(subject, BUILTIN, words, WITHOUT_OWNERSHIP)


@dataclass(frozen=True)
class Core:
    """A memory core.

    Attributes:
        described: in one line.
        without_ownership: why the ownership of blocks is not judged; empty where it is.
    """

    subject: Subject
    design: Design
    described: str
    without_ownership: str


@dataclass
class _Builds:
    """Makes the images one by one; what goes wrong is kept."""

    request: CoreRequest
    design: Design
    subject: Subject
    cases: Cases
    say: Say
    seconds: float = 0.0
    troubles: list[Trouble] = field(default_factory=list)
    toolchain: Toolchain | None = None
    archive: Path | None = None
    images: list[Image] = field(default_factory=list)
    why_not: str = ""
    """Why the ownership of blocks is not judged."""

    def tasks(self) -> Iterator[Task]:
        """What is to be judged, each as soon as it is built."""
        for number, profile in enumerate(self.profiles):
            began = time.monotonic()
            try:
                self.toolchain = self.toolchain or find_toolchain(say=self.say)
                image, why_not = build_core(self.subject, profile, self.toolchain, self.say)
                self.why_not = why_not or self.why_not
            except HarnessError as error:
                self.troubles.append(build_trouble(error))
                return
            finally:
                self.seconds += time.monotonic() - began
            self.subject = image.subject
            self.images.append(image)
            again = f"{self.request.again} --profile {profile}"
            key, seed = RunKey(MACHINE, profile), self.request.seed
            wanted = self.cases.get(profile, {})
            cases = tuple(map(parsed, wanted))
            yield Task(
                key, image, _machine(), again, cases, seed, self.why_not, self.design, self.archive, number,
                wanted=tuple(wanted.values()),
            )  # fmt: skip

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those that are built; of cases to play alone, those that have any."""
        named = profiles_named(self.request.profile)
        return tuple(profile for profile in named if not self.cases or profile in self.cases)


def _machine() -> Machine:
    return load_machine(MACHINE).override(limits={"request_cpu_s": REQUEST_CPU_S})


def check_core(request: CoreRequest) -> ExitCode:
    """Judge a memory core, print the report, return the process exit status.

    Raises:
        HarnessError: the request makes no sense: a wrong path, case, selection or baseline.
    """
    read = (request.frame_rs, request.kernel_src, request.baseline, request.last_failed)
    files = request.files
    of_the_run = (*own_files(files.out), *request.where.own_files)
    report_files.make_way(files.of_one_file, (*read, modules_of(request.frame_rs)), of_the_run)
    upstream.make_room(files.upstream, of_the_run)
    console = console_for()
    with archive_of_a_run(files.out, read) as kept:
        with Progress(console) as progress:
            found = examine_core(request, progress, archive=kept.folder if kept else None)
        try:
            status = publish_and_keep(found, kept, console, files)
        finally:
            save_page(files.html, found, kept)  # whatever became of the other reports
    remember_core(request, found)
    return status


def remember_core(request: CoreRequest, found: Examined) -> None:
    """Note the cases that showed faults, unless a part was asked for alone."""
    if found.evidence.runs and not request.case and not request.select:
        remember_cases(found.subject, found.evidence.checks)


def examine_core(
    request: CoreRequest,
    progress: Progress,
    before: frozenset[BrokenCheck] = frozenset(),
    archive: Path | None = None,
) -> Examined:
    """Judge a memory core.

    Args:
        archive: the folder that what cases with faults leave goes to.
        before: checks whose cases are the only ones to play; empty where the request says which.
    Raises:
        HarnessError: the request makes no sense: a wrong path, case, selection or baseline.
    """
    began = time.monotonic()
    require_settings()
    require_selection(request.select, CORE_CLAUSES)
    known = load_baseline(request.baseline, CORE_CLAUSES)
    core = request.core()
    subject = core.subject
    lineage = lineage_of(subject.path, request.since) if request.since else None
    broken = before or broken_before(request.last_failed, subject)
    cases = cases_to_play(request.profile, request.case, broken)
    required = clauses_of(cases) if cases else () if request.select else tuple(CORE_CLAUSES)
    required = tuple(one for one in required if one in selected(request.select))
    progress.note(core.described)
    if request.last_failed and not cases:
        progress.note(f"{none_broken(request.last_failed)}: every case is played")
    with telling_through(progress.note):
        made = _evidence(request, core, cases, progress, archive)
    evidence = made.evidence
    meanwhile = _meanwhile(subject, made)
    if lineage is not None and not evidence.interrupted and not meanwhile:
        verdict = judge(evidence, MEMORY_CORE, known, required)
        with telling_through(progress.note):
            followed = with_origins(evidence, verdict.findings, lineage, _machine(), progress, request.where)
        # The newest version is built of the files: of other text than was judged, no commit may be blamed.
        meanwhile = _meanwhile(subject, made)
        evidence = msgspec.structs.replace(followed, origins=()) if meanwhile else followed
    evidence = msgspec.structs.replace(evidence, errors=(*evidence.errors, *meanwhile))
    selection = narrowed(request.selection, request.last_failed if cases else None)
    evidence = msgspec.structs.replace(evidence, duration_s=time.monotonic() - began, selection=selection)
    verdict = judge(evidence, MEMORY_CORE, known, required)
    return Examined(evidence, verdict, known, subject, required, made.images, made.notes)


def _meanwhile(subject: Subject, made: Made) -> tuple[Trouble, ...]:
    """Say which files changed since the command began, or since they were compiled."""
    built = made.images[-1].subject if made.images else subject
    return tuple(dict.fromkeys((*changes(subject), *changes(built, made.images))))


def _evidence(
    request: CoreRequest,
    core: Core,
    cases: Cases,
    progress: Progress,
    archive: Path | None,
) -> Made:
    subject = core.subject
    builds = _Builds(
        request, core.design, subject, cases, progress.step, archive=archive, why_not=core.without_ownership
    )
    clauses = selected(request.select)
    try:
        outcomes = _outcomes(request, builds, progress)
    except KeyboardInterrupt:
        return Made(Evidence(subject=info_of(subject), planned_runs=(), interrupted=True))
    if builds.troubles:
        return Made(Evidence(subject=info_of(subject), planned_runs=(), errors=tuple(builds.troubles)))
    runs = tuple(RunKey(MACHINE, profile) for profile in builds.profiles)
    described_by = words_of(builds.toolchain) if builds.toolchain else ""
    evidence = _of_outcomes(outcomes, builds.subject, runs, clauses, described_by, builds.seconds, not cases)
    notes = tuple(note for judged in outcomes.judged for note in judged.notes)
    return Made(evidence, tuple(builds.images), notes)


def _outcomes(request: CoreRequest, builds: _Builds, progress: Progress) -> Outcomes:
    """What is seen of the builds: by processes of this one, or by workers of a campaign.

    Raises:
        HarnessError: there are no workers, or the folder of results cannot be used.
    """
    if request.since or not request.where.spreads:  # with --since the workers are for the versions
        return judge_builds(builds.tasks(), lambda run, words: progress.step(f"{run}: {words}"))
    settings = request.where.settings("check", progress.note)
    with campaign(plan_of(builds.subject, _machine()), settings) as running:
        outcomes = spread_builds(running, builds.tasks())
    if not outcomes.troubles:
        request.where.forget(settings)
    return outcomes


def _of_outcomes(
    outcomes: Outcomes,
    subject: Subject,
    runs: tuple[RunKey, ...],
    selected: tuple[str, ...],
    toolchain: str,
    build_s: float,
    whole: bool,
) -> Evidence:
    """What the processes saw, as evidence.

    Args:
        whole: every clause that is selected was to be looked at; one case looks at what it reaches.
    """
    plan: list[PlannedCheck] = []
    checks: list[CheckResult] = []
    evidence = []
    for judged in sorted(outcomes.judged, key=lambda one: runs.index(one.ledger.run)):
        results = [result for result in judged.results if result.clauses[0] in selected]
        of_run = _plan_of(judged, results, selected if whole else {one.clauses[0]: None for one in results})
        evidence.append(merge([judged.ledger], subject.sha256, toolchain))
        plan += of_run
        checks += results
    return Evidence(
        subject=info_of(subject), planned_runs=runs, plan=tuple(plan), runs=tuple(evidence),
        checks=tuple(checks), errors=outcomes.troubles, build_s=build_s,
        lacks=tuple(dict.fromkeys(name for result in checks for name in result.lacks)),
    )  # fmt: skip


def _plan_of(judged: Judged, results: list[CheckResult], selected: Iterable[str]) -> list[PlannedCheck]:
    """A check for each clause, and one more for each further fault that breaks it."""
    plan = planned(judged.ledger.run, selected)
    names = {one.check for one in plan}
    more = [result for result in results if result.check not in names]
    return [*plan, *(PlannedCheck(run=one.run, check=one.check, clauses=one.clauses) for one in more)]


def selected(select: str) -> tuple[str, ...]:
    """The ids of the clauses that an expression of `-k` takes; all of them where it is empty."""
    if not select:
        return tuple(CORE_CLAUSES)
    expression = Expression.compile(select)
    return tuple(id_ for id_ in CORE_CLAUSES if expression.evaluate(_matcher(id_)))


def _matcher(clause: str) -> Callable[..., bool]:
    return lambda word, **_: word.lower() in f"{NAME}[{clause}]".lower()
