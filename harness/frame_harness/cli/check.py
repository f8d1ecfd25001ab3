"""Runs the suite on a subject, then judges what it saw."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from frame_harness.archive.files import own_files
from frame_harness.base import disk, report_files
from frame_harness.base.commands import telling_through
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.profiles import BOTH, profiles_named
from frame_harness.base.program import program
from frame_harness.base.report_files import NO_REPORTS, ReportFiles
from frame_harness.base.text import plural
from frame_harness.cli import upstream
from frame_harness.cli.baseline_file import load_baseline
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions
from frame_harness.cli.html_page import save_page
from frame_harness.cli.last_broken import broken_before, narrowed, none_broken, remember
from frame_harness.cli.reporting import Examined, Made, publish_and_keep
from frame_harness.coverage import lcov
from frame_harness.coverage.lines import Coverage
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module, modules_of
from frame_harness.image.build import require_settings
from frame_harness.image.image import Image
from frame_harness.image.side_by_side import BuildEach, build_each
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.evidence import CheckInRun, Evidence, PlannedCheck, Trouble
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.judge.verdict import judge
from frame_harness.machine.definition import Machine, load_machines
from frame_harness.machine.firmware import require_host
from frame_harness.publishing import reports
from frame_harness.publishing.run_archive import archive_of_a_run
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for
from frame_harness.session.breakdowns import Breakdowns, of_the_host
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import SessionRequest, info_of
from frame_harness.session.runs import ACCELERATOR, BUILD, accelerator_trouble, build_trouble, settled
from frame_harness.session.selection import require_selection
from frame_harness.session.suite import run_suite
from frame_harness.session.workers import available_memory, usable_cpus, worker_count

if TYPE_CHECKING:
    from frame_harness.session.spread import SpreadRuns

DEFAULT_MACHINES = ("microvm", "q35", "pc")


@dataclass(frozen=True)
class CheckRequest:
    """What to judge, on what, and where the reports go.

    Attributes:
        coverage: measure which lines of the subject run, in a run of its own.
        last_failed: a JSON report whose broken checks are the only ones, or `LAST_RUN`.
        red: value of `red=` on the guest's command line, which only kernels of our own tests know.
        where: runs are made by workers of a cluster; by processes of this one unless it `spreads`.
        images: gives the images; a build may have begun before anything else.
    """

    frame_rs: Path | None = None
    machines: tuple[str, ...] = ()
    profile: str = BOTH
    accel: str | None = None
    select: str = ""
    baseline: Path | None = None
    files: ReportFiles = NO_REPORTS
    lcov: Path | None = None
    workers: int | None = None
    last_failed: Path | None = None
    coverage: bool = False
    red: str = ""
    where: CampaignOptions = NO_CAMPAIGN
    images: BuildEach = build_each

    @property
    def measures_coverage(self) -> bool:
        """Whether the lines that run are of interest."""
        return self.coverage or self.lcov is not None

    def of_a_session(self, subject: Subject, machines: Mapping[str, Machine]) -> SessionRequest:
        """What pytest is asked for."""
        return SessionRequest(
            subject=subject,
            machines=machines,
            profiles=profiles_named(self.profile),
            any_machine=not self.machines,
            accel=self.accel,
            frame_rs=str(self.frame_rs or ""),
            program=program(),
            evidence=True,
            measures_coverage=self.measures_coverage,
            red=self.red,
        )


Order = Callable[[Sequence[Image]], frozenset[CheckInRun]]
"""Given the images of a run, says which checks are made before the others."""


def check(request: CheckRequest) -> ExitCode:
    """Judge a subject, print the report, return the process exit status.

    Raises:
        HarnessError: the request makes no sense: a wrong path, machine or baseline.
    """
    read = (request.frame_rs, request.baseline, request.last_failed, *map(Path, request.machines))
    files = request.files
    of_the_run = (*own_files(files.out), *request.where.own_files)
    report_files.make_way(
        (*files.of_one_file, request.lcov), (*read, modules_of(request.frame_rs)), of_the_run
    )
    upstream.make_room(files.upstream, of_the_run)
    console = console_for()
    with archive_of_a_run(files.out, read) as kept:
        with Progress(console) as progress:
            found = examine(request, progress, archive=kept.folder if kept else None)
        with ExitStack() as others:  # each is written whatever became of those before
            others.callback(save_page, files.html, found, kept)
            others.callback(_save_lines, request.lcov, found.evidence.coverage)
            status = publish_and_keep(found, kept, console, files)
    remember(found.subject, found.evidence.checks)
    return status


def _save_lines(file: Path | None, coverage: Coverage | None) -> None:
    """Write which lines ran, where that was measured."""
    if file is not None and coverage is not None:
        report_files.write({file: lcov.dumps(coverage)})


def examine(
    request: CheckRequest, progress: Progress, order: Order | None = None, archive: Path | None = None
) -> Examined:
    """Judge a subject.

    Args:
        archive: the folder that what failing checks leave goes to.
    Raises:
        HarnessError: the request makes no sense: a wrong path, machine or baseline.
    """
    began = time.monotonic()
    known = load_baseline(request.baseline, FRAME_METADATA.clauses)
    subject, machines = asked_for(request)
    only = frozenset(one.place for one in broken_before(request.last_failed, subject))
    if request.last_failed and not only:
        progress.note(f"{none_broken(request.last_failed)}: every check is made")
    asked = replace(request.of_a_session(subject, machines), only=only, archive=archive)
    with telling_through(progress.note):
        _require_any(request, asked)
        made = _evidence(request, asked, progress, order)
    selection = narrowed(made.evidence.selection, request.last_failed if only else None)
    evidence = msgspec.structs.replace(
        made.evidence, duration_s=time.monotonic() - began, selection=selection
    )
    if request.measures_coverage and evidence.coverage is None and not evidence.interrupted:
        progress.note("which lines run was not measured: no check ran in the build for that")
    # A whole run must have looked at every clause; a chosen part need not.
    required = () if request.select or request.machines or only else tuple(FRAME_METADATA.clauses)
    verdict = judge(evidence, subject.contract, known, required)
    return Examined(evidence, verdict, known, subject, required, made.images, made.notes)


def asked_for(request: CheckRequest) -> tuple[Subject, dict[str, Machine]]:
    """The subject and the machines of a request that makes sense.

    Raises:
        HarnessError: a wrong path, machine or selection.
    """
    require_settings()
    require_selection(request.select, FRAME_METADATA.clauses)
    subject = frame_module(request.frame_rs)
    machines = load_machines(request.machines or DEFAULT_MACHINES)
    for machine in machines.values():
        if not request.where.scheduler:  # else workers have guests, and look for what these need
            require_host(machine)
        if request.measures_coverage and machine.override(accel=request.accel).accel != "tcg":
            raise UsageError(
                "coverage", machine.name, expected="accelerator tcg, whose log says what ran",
                actual=machine.override(accel=request.accel).accel, next_step="leave --accel away",
            )  # fmt: skip
    return subject, machines


def _evidence(request: CheckRequest, asked: SessionRequest, progress: Progress, order: Order | None) -> Made:
    """Build, then run the suite; whatever ends that early is part of the evidence."""
    began, build_s, subject = time.monotonic(), 0.0, asked.subject
    steps: dict[str, float] = {}
    images: list[Image] = []
    notes: list[str] = []
    try:
        trouble, images = _build_first(request.images, asked, progress, steps)
        build_s = time.monotonic() - began
        if trouble is None:
            asked = replace(asked, subject=images[-1].subject)  # as it was when it was compiled
            asked = replace(asked, first=order(images)) if order else asked
            if request.where.spreads:  # each worker settles its own accelerator
                asked = replace(asked, images={image.profile: image for image in images})
            else:
                trouble, asked = _settle_accelerator(asked, images, progress)
        evidence = _broken_build(subject, trouble) if trouble else _run_suite(request, asked, progress, notes)
    except disk.Unwritable as error:
        evidence = _broken_build(subject, of_the_host(error))
    except OSError as error:
        evidence = _broken_build(subject, of_the_host(disk.unwritable(error) or error))
    except KeyboardInterrupt:
        evidence = Evidence(subject=info_of(subject), planned_runs=(), interrupted=True)
    if evidence.runs:
        steps["preflight"] = sum(run.preflight_s for run in evidence.runs)
        steps["checks"] = time.monotonic() - began - build_s
    evidence = msgspec.structs.replace(evidence, build_s=build_s, steps_s=steps)
    return Made(evidence, tuple(images), tuple(notes))


def _settle_accelerator(
    asked: SessionRequest, images: Sequence[Image], progress: Progress
) -> tuple[Trouble | None, SessionRequest]:
    """Find out once, before there are workers, whether the accelerator that was asked for works here."""
    wanted = [machine.override(accel=asked.accel) for machine in asked.machines.values()]
    wanted = [machine for machine in wanted if machine.accel != "tcg"]
    if not wanted:
        return None, asked
    try:
        machine = settled(wanted[0], images[0], progress.note)
    except HarnessError as error:
        return accelerator_trouble(error), asked
    return None, replace(asked, accel=machine.accel) if asked.accel else asked


def _build_first(
    build: BuildEach, asked: SessionRequest, progress: Progress, steps: dict[str, float]
) -> tuple[Trouble | None, list[Image]]:
    """Build the images; what each took is added to the steps."""
    images: list[Image] = []
    try:
        toolchain = find_toolchain(say=progress.step)
        each = build(
            asked.subject,
            asked.builds,
            toolchain,
            say=progress.step,
            meanwhile=partial(_collect_ahead, asked),
        )
        with closing(each):
            for image, took in each:
                images.append(image)
                steps[f"compile {image.profile}"] = took
    except HarnessError as error:
        return build_trouble(error), images
    return None, images


def _collect_ahead(asked: SessionRequest) -> None:
    """Import the suite: the session that makes the checks finds its modules imported."""
    status, _ = run_suite(replace(asked, archive=None), "--collect-only")
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt


def _broken_build(subject: Subject, *troubles: Trouble) -> Evidence:
    return Evidence(subject=info_of(subject), planned_runs=(), errors=troubles)


def _run_suite(
    request: CheckRequest, asked: SessionRequest, progress: Progress, notes: list[str]
) -> Evidence:
    """Run pytest on the suite; what it saw so far when it was interrupted.

    Args:
        notes: what could not be kept of failing checks is added to it.
    """
    watcher = _Watcher(progress)

    def workers(checks: int) -> int:
        return _workers(request.workers, checks, progress)

    selection = ["-k", request.select] if request.select else []
    with _maker(request, asked, progress) as maker:
        meanwhile = reports.prepare if asked.archive else lambda: None
        status, session = run_suite(
            asked, *selection, workers=workers, listener=watcher, maker=maker, meanwhile=meanwhile
        )
    if asked.only and not watcher.plan:
        raise _of_others(asked)
    notes += session.notes if session else ()
    if session is None or (evidence := session.evidence) is None:
        if status == pytest.ExitCode.INTERRUPTED and not watcher.troubles:
            raise KeyboardInterrupt
        message = f"pytest ended with status {status} and left no evidence"
        return _broken_build(asked.subject, *watcher.troubles, Trouble(what="suite", message=message))
    builds = [trouble for trouble in evidence.errors if trouble.what in (BUILD, ACCELERATOR)]
    if builds:
        # Nothing that a wrong build showed counts, and no check needs to say so again; nor is there anything
        # without the accelerator that was asked for.
        return msgspec.structs.replace(
            _broken_build(asked.subject, *builds), interrupted=evidence.interrupted
        )
    if evidence.interrupted:
        return evidence  # that workers died is what was asked of them
    return msgspec.structs.replace(evidence, errors=(*evidence.errors, *watcher.troubles))


def _require_any(request: CheckRequest, asked: SessionRequest) -> None:
    """Refuse a choice of none of the checks that were broken before anything is compiled for it.

    Raises:
        UsageError: there is none of them.
    """
    if asked.only:
        words = ["-k", request.select] if request.select else []
        _, session = run_suite(replace(asked, archive=None), "--collect-only", *words)
        if session is not None and not session.planned:
            raise _of_others(asked)


def _of_others(asked: SessionRequest) -> UsageError:
    return UsageError(
        "--last-failed", plural(len(asked.only), "check"), expected="of the chosen machines and checks",
        actual="others", next_step="leave --machine, --profile and -k away",
    )  # fmt: skip


@contextmanager
def _maker(request: CheckRequest, asked: SessionRequest, progress: Progress) -> Iterator[SpreadRuns | None]:
    """What gives the runs to workers, for the time of a block; None where processes of this one make them.

    Raises:
        HarnessError: there are no workers, or the folder of results cannot be used.
    """
    if not request.where.spreads:
        yield None
        return
    from frame_harness.campaigns.engine import campaign  # noqa: PLC0415  most checks are no campaign
    from frame_harness.session.spread import SpreadRuns, plan_of  # noqa: PLC0415

    settings = request.where.settings("check", progress.note)
    with campaign(plan_of(asked, request.select), settings) as running:
        maker = SpreadRuns(running, asked, request.select, find_toolchain(say=progress.step))
        yield maker
    if maker.is_complete:
        request.where.forget(settings)


def _workers(wanted: int | None, checks: int, progress: Progress) -> int:
    """How many guests run at once: no more than there is work for."""
    count, why = worker_count(wanted, usable_cpus(), available_memory())
    if why:
        progress.note(why)
    return max(1, min(count, checks))


class _Watcher(Breakdowns):
    """Passes events of the suite on to the progress line, keeps what kept the suite from running."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.plan: Mapping[str, PlannedCheck] = {}
        self._progress = progress

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the plan over, so that the number of checks is known before any begins."""
        ours = session.config.stash[SESSION]
        self.plan, ours.listener = ours.planned, self._progress.result
        for run, total in Counter(check.run for check in self.plan.values()).items():
            self._progress.begin(run, total)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if planned := self.plan.get(nodeid):
            self._progress.check(planned.run, planned.check, ())
