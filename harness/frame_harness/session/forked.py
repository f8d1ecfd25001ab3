"""Makes the checks of a session in processes that are forked once everything is loaded.

A worker of pytest-xdist is a new interpreter: it imports, collects and reads the images once more, and
compares the witnesses of every run that it gets a check of. A forked one has all of that from its parent.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final

import pytest

from frame_harness.base.forking import ended_within, forked
from frame_harness.base.interruption import Blocked, unstopped
from frame_harness.base.pipes import value_heard
from frame_harness.judge.evidence import RunKey
from frame_harness.session import results
from frame_harness.session.plugin import SESSION
from frame_harness.session.preflight import Facts
from frame_harness.session.runs import WorkerOutput, only
from frame_harness.session.schedule import Assignment, Schedule
from frame_harness.session.session import Session
from frame_harness.session.units import make, units_of

END_S: Final = 60.0
"""So long a worker may take to end once nothing more comes from it; the host may be busy."""


# What a worker says.
@dataclass(frozen=True)
class _Begun:
    check: int


@dataclass(frozen=True)
class _Reported:
    report: dict[str, Any]
    """As pytest writes it for another process."""


@dataclass(frozen=True)
class _Prepared:
    run: RunKey
    facts: Facts


@dataclass(frozen=True)
class _Said:
    words: str


@dataclass(frozen=True)
class _Finished:
    pass


@dataclass(frozen=True)
class _BrokenDown:
    trace: str


_Message = _Begun | _Reported | _Prepared | _Said | _Finished | _BrokenDown | WorkerOutput


@dataclass
class _Worker:
    """A process as its parent knows it."""

    number: int
    process: ForkProcess
    connection: Connection
    assignment: Assignment[int] | None = None
    begun: int = 0
    """How many checks of the assignment it began."""

    @property
    def not_begun(self) -> Assignment[int] | None:
        return (
            replace(self.assignment, checks=self.assignment.checks[self.begun :]) if self.assignment else None
        )


class ForkedWorkers:
    """A plugin of pytest that assigns the collected checks to forked processes, in place of its own loop."""

    def __init__(
        self,
        workers: Callable[[int], int],
        only_here: Iterable[object],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Fork nothing yet.

        Args:
            workers: how many processes; is given the number of checks.
            only_here: plugins that hear of checks in this process, not in a worker.
            meanwhile: called here once the workers have their first checks.
        """
        self._count, self._only_here, self._meanwhile = workers, tuple(only_here), meanwhile
        self._workers: dict[Connection, _Worker] = {}
        self._told: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Make all checks; None leaves it to pytest, which has nothing to make or says what is wrong."""
        if session.testsfailed or not session.items or session.config.option.collectonly:
            return None
        self._session, self._items = session, session.items
        self._ours: Session = session.config.stash[SESSION]
        for profile in dict.fromkeys(run.profile for run in map(results.planned_run, session.items) if run):
            self._ours.load(profile)
        self._schedule = Schedule(units_of(session.items, self._ours.request.first))
        # Made here, since each worker would begin by removing what another one has made.
        vars(session.config)["_tmp_path_factory"].getbasetemp()
        try:
            self._fork_all(self._count(len(session.items)))
            self._meanwhile()
            while self._workers:
                self._hear()
        finally:
            # Guests die with the process that started them.
            for worker in self._workers.values():
                worker.process.kill()
                worker.process.join()
        return True

    def _fork_all(self, count: int) -> None:
        gc.freeze()  # else a collection in a worker copies every page that it only looks at
        try:
            for number in range(count):
                self._fork(number)
        finally:
            gc.unfreeze()
        self._assign()

    def _fork(self, number: int) -> None:
        with unstopped() as blocked:
            ours, process = forked(partial(_work, self), blocked, duplex=True)
            self._workers[ours] = _Worker(number, process, ours)

    def _assign(self) -> None:
        """Give each worker that has none its next checks; let all go once none can come back."""
        for worker in self._workers.values():
            if worker.assignment is None:
                worker.assignment, worker.begun = self._schedule.next_for(worker.number), 0
                if worker.assignment is not None:
                    self._send(worker, worker.assignment)
        if self._schedule.is_empty and not any(worker.assignment for worker in self._workers.values()):
            for worker in self._workers.values():
                self._send(worker, None)

    def _send(self, worker: _Worker, assignment: Assignment[int] | None) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died, which is heard when its end of the pipe is read
            worker.connection.send(assignment)

    def _hear(self) -> None:
        """Wait until some worker says something."""
        for ready in wait(list(self._workers)):
            assert isinstance(ready, Connection)
            worker = self._workers[ready]
            try:
                message: _Message = value_heard(ready)
            except EOFError:
                self._lost(worker, "died")
            else:
                self._take(worker, message)

    def _take(self, worker: _Worker, message: _Message) -> None:
        match message:
            case _Begun(check):
                worker.begun += 1
                item = self._items[check]
                item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            case _Reported(data):
                hook = self._session.config.hook
                report = hook.pytest_report_from_serializable(config=self._session.config, data=data)
                hook.pytest_runtest_logreport(report=report)
            case _Prepared(run, facts):
                self._schedule.prepared(run, facts)
                self._assign()
            case _Said(words):
                if words not in self._told:  # each worker has to say it
                    self._told.add(words)
                    self._ours.say(words)
            case _Finished():
                worker.assignment = None
                self._assign()
            case _BrokenDown(trace):
                self._lost(worker, "broke down", trace)
            case WorkerOutput():
                self._ours.add_worker(message)
                if not self._has_ended(worker):
                    note = f"the end of worker {worker.number}: it was killed after {END_S:g} s"
                    self._ours.add_worker(only(notes=(note,)))

    def _lost(self, worker: _Worker, how: str, trace: str = "") -> None:
        """Tell what a worker ended in, and assign to others what it did not begin."""
        ended = self._has_ended(worker)
        detail = f"exit status {worker.process.exitcode}" if ended else f"killed after {END_S:g} s"
        if worker.assignment and worker.begun:
            detail += f", in {self._items[worker.assignment.checks[worker.begun - 1]].nodeid}"
        self._ours.worker_was_lost(f"{worker.number} {how}", trace or detail)
        self._schedule.lost(worker.number, worker.not_begun)
        self._assign()

    def _has_ended(self, worker: _Worker) -> bool:
        """Have done with a worker; one that does not end by itself is killed."""
        del self._workers[worker.connection]
        worker.connection.close()
        if ended_within(worker.process, END_S):
            return True
        worker.process.kill()
        worker.process.join()
        return False

    # In a worker

    def work(self, connection: Connection) -> None:
        """Make checks until there are no more, then hand over what was seen."""
        config, ours = self._session.config, self._ours
        for plugin in (*self._only_here, self, ours):
            config.pluginmanager.unregister(plugin)
        config.pluginmanager.register(_Reporter(config, connection))
        # The files that captured output is kept in are the parent's, and so are their positions.
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.stop_global_capturing()
            capture.start_global_capturing()
        ours.work_for_another(
            say=lambda words: connection.send(_Said(words)),
            on_prepared=lambda run, facts: connection.send(_Prepared(run, facts)),
        )
        try:
            while (assignment := _next(connection)) is not None:
                self._make(assignment, connection)
                connection.send(_Finished())
        finally:
            output = ours.hand_over()
        connection.send(output)

    def _make(self, assignment: Assignment[int], connection: Connection) -> None:
        if assignment.run is not None and assignment.facts is not None:
            self._ours.take_over(assignment.run, assignment.facts)
        make(
            [self._items[check] for check in assignment.checks],
            lambda at: connection.send(_Begun(assignment.checks[at])),
        )


class _Reporter:
    """A plugin of pytest that sends the reports of a worker's checks to its parent."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._connection.send(_Reported(data))


class _ParentGone(Exception):
    """Nobody is there any more to make checks for."""


def _next(connection: Connection) -> Assignment[int] | None:
    """What the parent wants to be made next; None: no more.

    Raises:
        _ParentGone: it ended, or is about to.
    """
    try:
        assignment: Assignment[int] | None = value_heard(connection)
    except EOFError as error:
        raise _ParentGone from error
    return assignment


def _work(workers: ForkedWorkers, connection: Connection, blocked: Blocked) -> None:
    """What a worker's process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, too, and ends its workers
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        workers.work(connection)
    except _ParentGone:
        pass  # and so does this one
    except BaseException:
        connection.send(_BrokenDown(traceback.format_exc()))
