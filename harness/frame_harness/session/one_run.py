"""Makes the checks of one run in the process of a task, on whatever machine that is."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from frame_harness.archive.carried import CarriedFile, carried
from frame_harness.base.disk import scratch
from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.campaigns.files import path_of
from frame_harness.campaigns.images import SentImage
from frame_harness.judge.evidence import CheckResult, RunKey, Trouble, decode, encode
from frame_harness.machine.firmware import require_host
from frame_harness.session import results
from frame_harness.session.breakdowns import Breakdowns
from frame_harness.session.plugin import SESSION
from frame_harness.session.preflight import Facts
from frame_harness.session.request import SessionRequest
from frame_harness.session.runs import WorkerOutput, accelerator_trouble, only, settled
from frame_harness.session.seen import Met
from frame_harness.session.session import HANDED_OVER, results_in
from frame_harness.session.suite import run_suite
from frame_harness.session.units import make, units_of


class RunTask(Record, frozen=True, kw_only=True):
    """One run of a check.

    `request` is that of the whole check: every process collects the same checks, so that each has the same
    number everywhere. It has neither images nor an archive. `select` is what `-k` takes; `keeps` says that
    what failing checks leave is wanted.
    """

    run: RunKey
    request: SessionRequest
    image: SentImage
    select: str = ""
    keeps: bool = False


class RunMade(Record, frozen=True, kw_only=True):
    """What came of a run, but for the checks that need a compiler.

    Without `facts` the run was not prepared: then those were made, too, and say why. `met` are clauses that
    checks found broken on their way, `said` are lines for who waits, `left` is what failing checks left.
    """

    results: tuple[CheckResult, ...]
    met: tuple[Met, ...]
    output: WorkerOutput
    facts: Facts | None
    said: tuple[str, ...] = ()
    left: tuple[CarriedFile, ...] = ()


def make_run(task: RunTask) -> RunMade:
    """Make the checks of a run that need no compiler.

    Raises:
        HarnessError: QEMU or a file cannot be had here, or pytest came to nothing.
    """
    subject, machine = task.request.subject, task.request.machine(task.run.machine)
    try:
        require_host(machine)
    except HarnessError as error:  # whoever reads it sits at another machine
        raise HarnessError(
            "worker", platform.node(), detail=error.summary, next_step=error.next_step
        ) from error
    image = task.image.image(subject.contract, path_of(subject.sha256, subject.path.name))
    making = _Making(task.run)
    try:
        accel = settled(machine, image, making.said.append).accel
    except HarnessError as error:
        return making.made(only(accelerator_trouble(error)))
    with scratch("run") as folder:
        archive = folder / "archive"
        request = replace(
            task.request, images={task.run.profile: image}, archive=archive if task.keeps else None,
            accel=accel if task.request.accel else None,
        )  # fmt: skip
        status, _ = run_suite(request, *(("-k", task.select) if task.select else ()), maker=making)
        if (output := making.output()) is None:
            detail = f"pytest ended with status {status} and left no evidence"
            output = only(Trouble(what="suite", message=detail, run=task.run))
        return making.made(output, *_kept(archive, task.run))


def _kept(archive: Path, run: RunKey) -> tuple[tuple[CarriedFile, ...], tuple[str, ...]]:
    """What failing checks left; and why it is not there, which costs no evidence."""
    try:
        return carried(archive), ()
    except OSError as error:
        return (), (f"{run}: what failing checks left cannot be read: {error}",)


class _Making(Breakdowns):
    """A plugin of pytest that makes the checks of one run in this process, and hears what comes of them."""

    def __init__(self, run: RunKey) -> None:
        super().__init__(run)
        self.said: list[str] = []
        self._of = run
        self._facts: Facts | None = None
        self._results: list[CheckResult] = []
        self._met: list[Met] = []
        self._handed_over: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Be what pytest-xdist makes of a process that works for another one."""
        vars(config).update(workerinput={}, workeroutput=self._handed_over)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        session.config.stash[SESSION].work_for_another(self.said.append, self._prepared)

    def _prepared(self, _: RunKey, facts: Facts) -> None:
        self._facts = facts

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Make the checks; None leaves it to pytest to say what is wrong."""
        if session.testsfailed:
            return None
        ours = session.config.stash[SESSION]
        mine = [item for item in session.items if results.planned_run(item) == self._of]
        of_compiler = [item for item in mine if results.needs_compiler(item)]
        self._make([item for item in mine if item not in of_compiler])
        if of_compiler and self._facts is None:
            # Nobody else can prepare the run for them.
            ours.begin_check(results.check_name(of_compiler[0]), "")
            with contextlib.suppress(HarnessError):  # each of them says so
                ours.run(self._of)
        if self._facts is None:
            self._make(of_compiler)
        return True

    def _make(self, items: Sequence[pytest.Item]) -> None:
        for unit in units_of(items, ()):
            make([items[place] for place in unit.checks])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        own, met = results_in(report)
        self._results += own
        self._met += met

    def output(self) -> WorkerOutput | None:
        """What the session saw beside results; None where it came to none.

        The plan, and whether sources changed, are for the command to say.
        """
        if HANDED_OVER not in self._handed_over:
            return None
        found = decode(self._handed_over[HANDED_OVER], WorkerOutput)
        troubles = (*found.troubles, *self.troubles)
        return msgspec.structs.replace(found, planned=(), changed=(), troubles=troubles)

    def made(
        self, output: WorkerOutput, left: tuple[CarriedFile, ...] = (), notes: tuple[str, ...] = ()
    ) -> RunMade:
        """What came of the run."""
        output = msgspec.structs.replace(output, notes=(*output.notes, *notes))
        found = RunMade(
            results=tuple(self._results), met=tuple(self._met), output=output, facts=self._facts,
            said=tuple(self.said),
        )  # fmt: skip
        # What UTF-8 cannot carry would not travel.
        return msgspec.structs.replace(decode(encode(found), RunMade), left=left)
