"""Does the tasks of a worker one after the other, each in a process that is forked for it.

It is a program of its own, so that nothing is forked from a process that has threads. It ends with the worker
that started it, and with it all that tasks started, guests first of all.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import tempfile
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import msgspec

from frame_harness.base.disk import scratch
from frame_harness.base.errors import HarnessError
from frame_harness.base.parent import adopt_orphans, die_with_parent, end_children
from frame_harness.base.pipes import value_heard
from frame_harness.campaigns import files
from frame_harness.campaigns.done import LossReason
from frame_harness.campaigns.tasks import Came, Ended, Fetched, Raised, TaskOutcome, Wanted, Work
from frame_harness.campaigns.usage import Usage, limit_this_task, usage_of

LOOK_S: Final = 0.5
"""How often a task's use of memory and CPU time is looked at."""
IDLE: Final = 0.05
"""A task that neither ran nor waited for a CPU for this part of its limit waits for what will not come."""
IDLE_SERVER_S: Final = 60.0
"""A server that nobody asked for so long ends: the command may be gone without a word."""


class _WorkerGone(Exception):
    """Nobody waits for results any more."""


def main(descriptor: int, parent: int) -> None:
    """Serve a worker until it closes the connection.

    Args:
        descriptor: of the connection.
        parent: the worker's process id.
    """
    # A worker of this machine blocks Ctrl-C, which the command hears; and so would all that tasks start.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with Connection(descriptor) as control:
        try:
            try:
                signal.signal(signal.SIGTERM, _gone)
                die_with_parent(parent, signal.SIGTERM)  # not SIGKILL: a task's folder is to be removed
                adopt_orphans()
                _serve(control)
            finally:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come behind the end of the connection
        except (EOFError, ConnectionError, _WorkerGone):
            pass  # there is nobody left to serve, or to tell
        finally:
            end_children(but=())


def _gone(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _WorkerGone


def _serve(control: Connection) -> None:
    try:
        work: Work | Raised = value_heard(control)
    except EOFError:
        raise
    except Exception as error:  # what the import of the work's module raises
        work = Raised.of(error)
    gc.freeze()  # else a collection in a task copies every page that it only looks at
    while control.poll(IDLE_SERVER_S):
        payload, limit_bytes = value_heard(control)
        if isinstance(work, Raised):
            control.send(work)
        else:
            control.send(_Task(control, work, payload, limit_bytes).outcome())


class _Task:
    """One task, from the fork to the end of all that it started."""

    def __init__(self, control: Connection, work: Work, payload: bytes, limit_bytes: int | None) -> None:
        self._control, self._work, self._payload, self._limit_bytes = control, work, payload, limit_bytes

    def outcome(self) -> TaskOutcome:
        # A task that is ended cannot remove its temporary files: they lie in a folder of its own.
        try:
            with scratch("task") as folder:
                return self._forked(folder)
        except HarnessError as error:
            return Raised.of(error)

    def _forked(self, folder: Path) -> TaskOutcome:
        self._ours, theirs = Pipe()
        server = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._control.close()
            self._ours.close()
            limit_this_task(self._limit_bytes)
            _do(self._work, self._payload, theirs, server, folder)
        theirs.close()
        pidfd = os.pidfd_open(self._pid)
        try:
            return self._wait(pidfd)
        finally:
            end_children(but=())
            os.close(pidfd)
            self._ours.close()

    def _wait(self, pidfd: int) -> TaskOutcome:
        watch = TaskWatch(self._work.limit_s, self._limit_bytes, time.monotonic())
        look_at = time.monotonic() + LOOK_S
        while True:
            ready = wait([self._control, self._ours, pidfd], max(0.0, look_at - time.monotonic()))
            if self._control in ready:
                raise _WorkerGone  # it says nothing meanwhile
            if (message := self._heard()) is not None:
                return message
            if pidfd in ready:
                return _death(self._pid)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_S
                if over := watch.over(usage_of(self._pid), time.monotonic()):
                    return over

    def _heard(self) -> TaskOutcome | None:
        """Return what the task came to, if it said so; answer what it asks for."""
        try:
            while self._ours.poll():
                message: TaskOutcome | Wanted = value_heard(self._ours)
                if not isinstance(message, Wanted):
                    return message
                self._control.send(message)
                answer: Fetched = value_heard(self._control)
                self._ours.send(answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return _death(self._pid)  # also where it could not take the answer any more
        return None


class TaskWatch:
    """Says when a task is beyond what it may use."""

    def __init__(self, limit_s: float, limit_bytes: int | None, began: float) -> None:
        self._limit_s, self._limit_bytes = limit_s, limit_bytes
        self._look_at, self._last = began + limit_s, Usage(0.0, 0)

    def over(self, use: Usage, now: float) -> Ended | None:
        """Judge by CPU time once the limit is over: a loaded host makes a task slower, it does not hang."""
        if self._limit_bytes is not None and use.n_bytes > self._limit_bytes:
            detail = f"{use.n_bytes >> 20} MiB, of {self._limit_bytes >> 20} MiB that the worker has"
            return Ended(LossReason.MEMORY, detail)
        if now < self._look_at:
            return None
        # A process that ended takes its time of waiting with it, but not what it used.
        since_s = use.cpu_s - self._last.cpu_s + max(0.0, use.waited_s - self._last.waited_s)
        self._last = use
        if use.cpu_s >= self._limit_s or since_s < IDLE * self._limit_s:
            return Ended(
                LossReason.HUNG, f"no result after {self._limit_s:g} s; it used {use.cpu_s:.1f} s of CPU time"
            )
        self._look_at = now + self._limit_s
        return None


def _death(pid: int) -> Ended:
    """Say how a task's process ended that sent nothing."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGKILL:
        return Ended(LossReason.DIED, "its process was killed; the kernel does that when memory runs out")
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return Ended(LossReason.DIED, f"its process ended with {how}")


# ---- in the process of a task ------------------------------------------------------------------------------


def _do(work: Work, payload: bytes, connection: Connection, server: int, folder: Path) -> NoReturn:
    """Do the work, send its outcome, and end without the server's own endings."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(server)
        adopt_orphans()
        _be_the_first_to_go()
        os.dup2(2, 1)  # the command's standard output is for its results
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        files.ask_through(connection, work.known)
        connection.send(_outcome(work, payload))
        status = 0
    finally:
        os._exit(status)


def _outcome(work: Work, payload: bytes) -> TaskOutcome:
    try:
        result: Any = work.function(pickle.loads(payload))
        return Came(msgspec.json.encode(result))
    except MemoryError:
        return Ended(LossReason.MEMORY, "Python got no more memory")
    except BaseException as error:  # whatever it is, the command has to hear of it
        return Raised.of(error)


def _be_the_first_to_go() -> None:
    """Let the kernel end this process, not the worker, when memory runs out (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
