"""What a campaign puts on each worker of a cluster: processes that do tasks, and a way to files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from distributed import Status, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from frame_harness.base.digests import sha256_of
from frame_harness.base.errors import HarnessError
from frame_harness.base.pipes import value_heard
from frame_harness.base.version import version
from frame_harness.campaigns import files
from frame_harness.campaigns.done import LossReason
from frame_harness.campaigns.task_server import IDLE_SERVER_S
from frame_harness.campaigns.tasks import Ended, Fetched, TaskOutcome, Wanted, Work
from frame_harness.image.toolchain import find_toolchain

if TYPE_CHECKING:
    from distributed import Worker

FILES: Final = "frame-harness-files"
"""Where the scheduler keeps files for workers that do not have them, by sha256."""
COMPILER: Final = "frame-harness-compiler"
"""The resource that a worker with a Rust toolchain offers."""
PATIENCE_S: Final = 10.0
"""For a process that is told to end, before it is killed."""
_START: Final = """
import sys
sys.path[:] = {path!r}
from frame_harness.campaigns.task_server import main
main({fd}, {pid})
"""


def package_resource() -> str:
    """The resource that a worker offers for this version of the package."""
    return f"frame-harness {version()}"


class TaskPlugin(WorkerPlugin):
    """Does the tasks of one campaign on a worker; goes with the campaign, and with the worker."""

    def __init__(self, name: str, work: Work, command_version: str) -> None:
        """Start nothing yet.

        Args:
            name: of the campaign, another one each time.
            command_version: of the package in the command.
        """
        self.name = name
        self._work = pickle.dumps(work)
        self._version = command_version

    async def setup(self, worker: Worker) -> None:
        """Offer what this worker can do; one of another version offers nothing, and gets no task."""
        self._worker = worker
        self._lock = threading.Lock()
        self._idle: list[Server] = []
        self._busy: dict[str, Server] = {}
        self._closed = False
        self._looking: asyncio.Future[None] | None = None
        # Processes end with the thread that started them.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frame-harness")
        if version() == self._version:
            await _offer(worker, package_resource())
            if self._closed:  # the command was stopped meanwhile
                return
            # To look for a compiler may take seconds; tasks that need none shall not wait.
            self._looking = asyncio.ensure_future(self._look_for_a_compiler(worker))

    async def _look_for_a_compiler(self, worker: Worker) -> None:
        if await asyncio.to_thread(_has_compiler):
            await _offer(worker, COMPILER)

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """End all tasks, with all that they started; return when they are gone."""
        if self._looking is not None:
            self._looking.cancel()
        with self._lock:
            self._closed = True
            servers = [*self._idle, *self._busy.values()]
        for server in servers:
            server.hang_up()
        await asyncio.gather(*(asyncio.to_thread(server.close) for server in servers))
        self._starter.shutdown(wait=False)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """End a task that nobody waits for any more: the command is gone, or took it back."""
        if start in ("executing", "long-running") and finish in ("released", "cancelled", "forgotten"):
            with self._lock:
                server = self._busy.get(str(key))
            if server is not None:
                server.hang_up()

    def do(self, key: str, payload: bytes) -> TaskOutcome:
        """Do a task in a process of its own; called in a thread for tasks."""
        limit = self._worker.memory_manager.memory_limit
        limit_bytes = int(limit / self._worker.state.nthreads) if limit else None
        try:
            server, lives = self._take(key), False
        except OSError as error:
            return Ended(LossReason.DIED, f"no process for tasks could be started: {error.strerror}")
        try:
            outcome = server.do(payload, limit_bytes, self._fetched)
            lives = True
        except (EOFError, ConnectionError):
            outcome = Ended(LossReason.DIED, "the process of its worker that does tasks is gone")
        finally:
            with self._lock:
                del self._busy[key]
                if stays := lives and not self._closed:
                    self._idle.append(server)
            if not stays:
                server.close()
        return outcome

    def _take(self, key: str) -> Server:
        with self._lock:
            while self._idle:
                server = self._idle.pop()
                if server.lives:
                    break
                server.close()
            else:
                server = self._starter.submit(Server, self._work).result()
            self._busy[key] = server
        task = self._worker.state.tasks.get(key)
        if self._closed or task is None or task.state != "executing":
            server.hang_up()  # nobody waits for it any more: that was said before it was among the busy ones
        return server

    def _fetched(self, wanted: Wanted) -> Fetched:
        asked = self._worker.scheduler.get_metadata(keys=[FILES, wanted.sha256], default=None)
        loop = self._worker.loop.asyncio_loop  # type: ignore[attr-defined]
        data = asyncio.run_coroutine_threadsafe(asked, loop).result()
        if data is None:
            return Fetched("", "no such file")
        if isinstance(data, str):  # a place on this machine, of which the task sees what it holds
            same = Path(data).is_file() and sha256_of(Path(data)) == wanted.sha256
            return Fetched(data) if same else Fetched("", f"{data} holds something else")
        try:
            return Fetched(str(files.keep(wanted.sha256, wanted.name, data)))
        except HarnessError as error:
            return Fetched("", error.summary)


async def _offer(worker: Worker, resource: str) -> None:
    """Offer a resource for as many tasks as the worker does at the same time.

    Tasks that nobody could do are looked at again when a worker begins to take tasks, not when one offers
    more: those of a campaign whose only worker died would wait for ever for the one that came instead.
    """
    await worker.set_resources(**{resource: worker.state.nthreads})
    if worker.status is Status.running:
        worker.status = Status.paused
        worker.status = Status.running


class Server:
    """A process that does one task at a time, as its worker knows it."""

    def __init__(self, work: bytes) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            code = _START.format(path=sys.path, fd=theirs.fileno(), pid=os.getpid())
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self._connection = Connection(os.dup(self._socket.fileno()))
        with contextlib.suppress(ConnectionError):  # heard when it is asked for something
            self._connection.send_bytes(work)
        self._asked = time.monotonic()

    @property
    def pid(self) -> int:
        """The id of the process that serves; it may have ended."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can be asked; it ends by itself when it was not for a while."""
        return self._process.poll() is None and time.monotonic() < self._asked + IDLE_SERVER_S / 2

    def do(self, payload: bytes, limit_bytes: int | None, fetched: Any) -> TaskOutcome:
        """Have a task done, answer what it asks for.

        Raises:
            EOFError, ConnectionError: the process is gone.
        """
        self._connection.send((payload, limit_bytes))
        while True:
            message: TaskOutcome | Wanted = value_heard(self._connection)
            if not isinstance(message, Wanted):
                self._asked = time.monotonic()
                return message
            self._connection.send(fetched(message))

    def hang_up(self) -> None:
        """Let it end, with all that it started; who waits for it hears that it is gone."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The same; return when it is gone."""
        self.hang_up()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()
        self._connection.close()


def do_task(campaign: str, key: str, payload: bytes) -> TaskOutcome:
    """Do a task; the function that dask calls on a worker."""
    plugin = cast(TaskPlugin, get_worker().plugins[campaign])
    return plugin.do(key, payload)


def _has_compiler() -> bool:
    try:
        find_toolchain()
    except HarnessError:
        return False
    return True
