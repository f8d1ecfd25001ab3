"""Runs the suite on a subject, then judges what it saw."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from _pytest.mark.expression import Expression

from frame_harness.base import disk, report_files
from frame_harness.base.commands import tell_through
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.program import program
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.errors import CompileError, NotJudgeable
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge import baseline as baselines
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, RunKey, Trouble, decode
from frame_harness.judge.exit_codes import ExitCode, exit_code
from frame_harness.judge.verdict import judge
from frame_harness.machine.accel import settle_accel
from frame_harness.machine.definition import Machine, load_machines
from frame_harness.machine.firmware import require_host
from frame_harness.report import json_report, junit
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for, print_report
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import SessionRequest, info_of, profiles_named
from frame_harness.session.results import run_id
from frame_harness.session.session import BUILD, PROBE, RESULT
from frame_harness.session.suite import run_suite
from frame_harness.session.workers import available_memory, usable_cpus, worker_count

DEFAULT_MACHINES = ("microvm", "q35", "pc")


@dataclass(frozen=True)
class Request:
    """What to judge, on what, and where the reports go.

    Attributes:
        red: value of `red=` on the guest's command line, which only kernels of our own tests know.
    """

    frame_rs: Path | None = None
    machines: tuple[str, ...] = ()
    profile: str = "both"
    accel: str | None = None
    select: str = ""
    baseline: Path | None = None
    json: Path | None = None
    junit: Path | None = None
    workers: int | None = None
    red: str = ""

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
            red=self.red,
        )


def check(request: Request) -> ExitCode:
    """Judge a subject, print the report, return the process exit status.

    Raises:
        HarnessError: the request makes no sense: a wrong path, machine or baseline.
    """
    began = time.monotonic()
    read = (request.frame_rs, request.baseline, *map(Path, request.machines))
    report_files.make_way((request.json, request.junit), read)
    _check_selection(request.select)
    known = baselines.load(request.baseline, FRAME_METADATA.clauses) if request.baseline else baselines.EMPTY
    subject = frame_module(request.frame_rs)
    machines = load_machines(request.machines or DEFAULT_MACHINES)
    for machine in machines.values():
        require_host(machine)
    console = console_for()
    with Progress(console) as progress:
        tell_through(progress.note)
        evidence = _evidence(request, request.of_a_session(subject, machines), progress)
    evidence = msgspec.structs.replace(evidence, duration_s=time.monotonic() - began)
    verdict = judge(evidence, subject.contract, known, required=_required(request))
    print_report(evidence, verdict, known, console)
    writers = {request.json: json_report.dumps, request.junit: junit.dumps}
    report_files.write({file: dumps(evidence, verdict, known) for file, dumps in writers.items() if file})
    if evidence.interrupted:
        console.print("interrupted; every guest is gone")
    return exit_code(verdict.kind)


def _evidence(request: Request, asked: SessionRequest, progress: Progress) -> Evidence:
    """Build, then run the suite; whatever ends that early is part of the evidence."""
    began, build_s, subject = time.monotonic(), 0.0, asked.subject
    try:
        trouble, images = _build_first(asked, progress)
        build_s = time.monotonic() - began
        if trouble is None:
            trouble, asked = _settle_accelerator(asked, images, progress)
        evidence = _broken_build(subject, trouble) if trouble else _run_suite(request, asked, progress)
    except disk.Unwritable as error:
        evidence = _broken_build(subject, _of_the_host(error))
    except OSError as error:
        evidence = _broken_build(subject, _of_the_host(disk.unwritable(error) or error))
    except KeyboardInterrupt:
        evidence = Evidence(subject=info_of(subject), planned_runs=(), interrupted=True)
    return msgspec.structs.replace(evidence, build_s=build_s)


def _settle_accelerator(
    asked: SessionRequest, images: Sequence[Image], progress: Progress
) -> tuple[Trouble | None, SessionRequest]:
    """Find out once, before there are workers, whether the accelerator that was asked for works here."""
    wanted = [machine.override(accel=asked.accel) for machine in asked.machines.values()]
    wanted = [machine for machine in wanted if machine.accel != "tcg"]
    if not wanted:
        return None, asked
    try:
        settled = settle_accel(wanted[0], images[0].elf, append="nonce=probe", talk=PROBE, say=progress.note)
    except HarnessError as error:
        message = error.summary.removeprefix("accelerator: ")
        return Trouble(what="accelerator", message=message, next=error.next_step), asked
    return None, replace(asked, accel=settled.accel) if asked.accel else asked


def _check_selection(select: str) -> None:
    """Refuse what is no expression here: deep inside of pytest's workers it is a crash.

    Raises:
        UsageError: names the place of the mistake.
        UnknownClauseError: it has the form of a clause's id, and is none.
    """
    if not select:
        return
    for word in re.findall(r"\b[A-Z]+-[0-9]{2,}\b", select):
        FRAME_METADATA.clauses.known(word)
    try:
        Expression.compile(select)
    except Exception as error:  # a ParseError in pytest 8, a SyntaxError in pytest 9
        raise UsageError(
            "selection", repr(select), detail=str(error), next_step='write it like "ALLOC-07 or not CONST"'
        ) from error


def _required(request: Request) -> list[str]:
    """A whole run must have looked at every clause; a chosen part need not."""
    if request.select or request.machines:
        return []
    return list(FRAME_METADATA.clauses)


def _build_first(asked: SessionRequest, progress: Progress) -> tuple[Trouble | None, list[Image]]:
    images: list[Image] = []
    try:
        toolchain = find_toolchain(say=progress.step)
        for profile in asked.profiles:
            images.append(build(asked.subject, profile, toolchain=toolchain, say=progress.step))
    except NotJudgeable as error:
        return Trouble(what="version", message=error.summary, outcome=Outcome.ABSENT), images
    except CompileError as error:
        trouble = Trouble(
            what=BUILD,
            message=error.first,
            detail=error.rendered,
            next=error.next_step,
        )
        return trouble, images
    except HarnessError as error:
        trouble = Trouble(what=BUILD, message=error.summary, detail=error.evidence, next=error.next_step)
        return trouble, images
    return None, images


def _of_the_host(error: OSError | disk.Unwritable) -> Trouble:
    if isinstance(error, disk.Unwritable):
        return Trouble(what="files", message=error.summary, detail=error.evidence, next=error.next_step)
    return Trouble(
        what="files",
        message=str(error),
        next="make room or get leave to write there; TMPDIR and FRAME_HARNESS_CACHE name other folders",
    )


def _broken_build(subject: Subject, *troubles: Trouble) -> Evidence:
    return Evidence(subject=info_of(subject), planned_runs=(), errors=troubles)


def _run_suite(request: Request, asked: SessionRequest, progress: Progress) -> Evidence:
    """Run pytest on the suite; what it saw so far when it was interrupted."""
    watcher = _Watcher(progress)
    words = ["-n", str(_workers(request, asked, progress)), "--dist", "worksteal", *_selection(request)]
    code = run_suite(asked, watcher, *words)
    evidence = watcher.evidence()
    if evidence is None:
        if code == pytest.ExitCode.INTERRUPTED and not watcher.troubles:
            return Evidence(subject=info_of(asked.subject), planned_runs=(), interrupted=True)
        message = f"pytest ended with status {code} and left no evidence"
        return _broken_build(asked.subject, *watcher.troubles, Trouble(what="suite", message=message))
    builds = [trouble for trouble in evidence.errors if trouble.what == BUILD]
    if builds:
        # Nothing that a wrong build showed counts, and no check needs to say so again.
        return msgspec.structs.replace(
            _broken_build(asked.subject, *builds), interrupted=evidence.interrupted
        )
    if evidence.interrupted:
        return evidence  # that workers died is what was asked of them
    return msgspec.structs.replace(evidence, errors=(*evidence.errors, *watcher.troubles))


def _selection(request: Request) -> list[str]:
    return ["-k", request.select] if request.select else []


def _workers(request: Request, asked: SessionRequest, progress: Progress) -> int:
    count, why = worker_count(request.workers, usable_cpus(), available_memory())
    if why:
        progress.note(why)
    if not request.select or count == 1:
        return count
    return max(1, min(count, _selected(request, asked)))


def _selected(request: Request, asked: SessionRequest) -> int:
    """Count the checks of a selection: no more workers are started than there is work for."""
    collected: list[str] = []

    class Collector:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            collected.extend(item.nodeid for item in session.items)

    run_suite(replace(asked, evidence=False), Collector(), "--collect-only", *_selection(request))
    return len(collected)


class _Watcher:
    """Passes events of the suite on to the progress line, keeps what kept the suite from running."""

    def __init__(self, progress: Progress) -> None:
        self.troubles: list[Trouble] = []
        self._progress = progress
        self._runs: dict[str, RunKey] = {}
        self._begun = False
        self._config: pytest.Config | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._config = session.config

    def evidence(self) -> Evidence | None:
        """What the session saw; nothing where it did not come to its end."""
        return self._config.stash[SESSION].evidence if self._config else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        if not self._begun:
            self._begun = True
            self._begin(node.config, ids)

    def _begin(self, config: pytest.Config, ids: Sequence[str]) -> None:
        keys = config.stash[SESSION].all_keys()
        totals: dict[RunKey, int] = {}
        for nodeid in ids:
            key = next(
                (key for key in keys if f"[{run_id(key)}" in nodeid or f"-{run_id(key)}" in nodeid), None
            )
            if key is not None:
                self._runs[nodeid] = key
                totals[key] = totals.get(key, 0) + 1
        for key, total in totals.items():
            self._progress.begin(key, total)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if key := self._runs.get(nodeid):
            name = nodeid.replace(f"{run_id(key)}-", "").replace(f"[{run_id(key)}]", "")
            self._progress.check(key, name, ())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == RESULT and report.when == "teardown":
                self._progress.result(decode(str(value), CheckResult))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.troubles.append(
                Trouble(
                    what="suite", message=f"{report.nodeid} cannot be collected", detail=str(report.longrepr)
                )
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        if error:
            self.troubles.append(
                Trouble(what="suite", message=f"worker {node.gateway.id} died", detail=str(error))
            )

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        error = excinfo.value
        full = disk.unwritable(error) if isinstance(error, OSError) else None
        broke = Trouble(what="suite", message="pytest broke down", detail=str(excrepr))
        self.troubles.append(_of_the_host(full) if full else broke)
