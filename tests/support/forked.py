"""Starts the program by forking it from a process that has imported everything.

Half of a short command is imports, the same each time. A command that is started here has them from a process
that did nothing else. What Python reads once at its start, such as its own variables, cannot be changed by
then: who wants that changed gets a process of its own (`may_fork`).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from _pytest.config import builtin_plugins

from tests.support.modules import NAMES, ROOT, modules_used

MARK: Final = "FRAME_HARNESS_TEST_MARK"
NO_MARK: Final = "0" * 32
MAIN: Final = "import frame_harness_start; frame_harness_start.main()"
_SERVE: Final = "from tests.support.forked import serve; serve(); "
# What Python, the C library and libraries in C read once.
_AT_START: Final = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_", "GLIBC_", "OPENBLAS_", "OMP_", "NPY_")
_STATUS: Final = struct.Struct("i")
_LARGEST: Final = 1 << 18
"""Of a request, in bytes; it is mostly an environment."""


class Process(Protocol):
    """What `subprocess.Popen` is to those who wait for a program."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...

    def send_signal(self, sig: int) -> None: ...


def may_fork(env: Mapping[str, str]) -> bool:
    """Whether a program with this environment can be forked.

    What is read at the start must be as it is here, but for the folders in which modules are found.
    """
    differ = _read_at_start(env).items() ^ _read_at_start(os.environ).items()
    found = env.get("PYTHONPATH", "").split(os.pathsep)
    return {name for name, _ in differ} <= {"PYTHONPATH"} and str(ROOT) in found


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_START)}


# In the process of the tests


class Forked:
    """A program that was forked, as its caller knows it."""

    def __init__(self, connection: socket.socket) -> None:
        """Wait until it is there."""
        self._connection = connection
        said, descriptors, _, _ = socket.recv_fds(connection, _STATUS.size, 1)
        if not said:
            raise AssertionError("the process that programs are forked from is gone")
        [self._pidfd], (self.pid,) = descriptors, _STATUS.unpack(said)
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return its status as `subprocess` has it; raises `TimeoutExpired` if it goes on."""
        if self.returncode is None:
            if timeout is not None and not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            (self.returncode,) = _STATUS.unpack(self._connection.recv(_STATUS.size))
            self._connection.close()
            os.close(self._pidfd)
        return self.returncode

    def poll(self) -> int | None:
        """Return its status; None while it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing if it is over."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, sig)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Server:
    """The process that others are forked from, as its caller knows it."""

    def __init__(self, environment: Mapping[str, str], program: str = MAIN) -> None:
        """Start it; it is there when the first program is forked.

        Args:
            program: what each forked process does, as Python text.
        """
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE + program, str(theirs.fileno())],
                cwd="/",
                env={**environment, MARK: NO_MARK},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        atexit.register(self.end)

    def fork(self, words: Sequence[str], folder: Path, env: Mapping[str, str], output: int) -> Forked:
        """Start the program with some words behind its name, in a group of its own, without input.

        Args:
            env: an environment of which `may_fork` is true.
            output: the descriptor of the file that it prints to.
        """
        request = json.dumps({"words": list(words), "folder": str(folder), "env": dict(env)}).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, Path(os.devnull).open("rb") as nowhere:
            descriptors = [theirs.fileno(), nowhere.fileno(), output, output]
            try:
                socket.send_fds(self._asks, [request], descriptors)
            except BrokenPipeError:
                status = self._process.wait()
                raise AssertionError(f"what programs are forked from is gone, status {status}") from None
        return Forked(ours)

    def end(self) -> None:
        """End it; programs that were forked go on."""
        atexit.unregister(self.end)
        self._asks.close()
        self._process.wait()


_SERVERS: dict[str, Server] = {}


def server_for(env: Mapping[str, str]) -> Server:
    """The process of which programs with this environment are forked, the same until the tests are over."""
    path = env["PYTHONPATH"]
    if path not in _SERVERS:
        _SERVERS[path] = Server(env)
    return _SERVERS[path]


# In the process that others are forked from


def serve() -> None:
    """Fork a process for each request until nobody can ask any more; return in each of them alone."""
    mark = _address_of(MARK)
    with socket.socket(fileno=int(sys.argv[1])) as asks:
        _import_all()
        if tempfile.tempdir is not None:
            raise AssertionError("an import has chosen the folder for temporary files")
        gc.collect()
        gc.freeze()
        request = _next_to_fork(asks)
    if request is None:
        sys.exit()
    _become(request, mark)


def _import_all() -> None:
    """Import what commands import, and the checks that they collect; the checks themselves are pytest's.

    Templates of pages are compiled once, too: that takes as long as a tenth of a short command.
    """
    commands = [name for name in NAMES if name.startswith("frame_harness.cli.")]
    checks = [name for path in (ROOT / "tests" / "contract").glob("*.py") for name in modules_used(path)]
    for name in (*commands, *checks, *(f"_pytest.{plugin}" for plugin in builtin_plugins)):
        importlib.import_module(name)
    importlib.import_module("frame_harness.html_report.page").prepare()


def _next_to_fork(asks: socket.socket) -> tuple[bytes, list[int]] | None:
    """Serve; return a request with its streams in the process that is forked for it, None at the end."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as events:
        events.register(asks, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fd in running:
                    events.unregister(key.fd)
                    pid, connection = running.pop(key.fd)
                    _report_end(pid, connection)
                    os.close(key.fd)
                    continue
                request, descriptors, _, _ = socket.recv_fds(asks, _LARGEST, 4)
                if not request:
                    return None
                connection = socket.socket(fileno=descriptors[0])
                pid = os.fork()
                if pid == 0:
                    return request, descriptors[1:]
                for stream in descriptors[1:]:
                    os.close(stream)
                watched = os.pidfd_open(pid)
                socket.send_fds(connection, [_STATUS.pack(pid)], [watched])
                running[watched] = pid, connection
                events.register(watched, selectors.EVENT_READ)


def _report_end(pid: int, connection: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with connection, contextlib.suppress(BrokenPipeError):  # nobody waits for it
        connection.send(_STATUS.pack(os.waitstatus_to_exitcode(status)))


# In the process that was forked


def _become(request: tuple[bytes, list[int]], mark: int) -> None:
    """Be as a process that was just started."""
    text, streams = request
    asked = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for listed in Path("/proc/self/fd").iterdir():
        if int(listed.name) > 2:
            with contextlib.suppress(OSError):  # of the list itself
                os.close(int(listed.name))
    os.setpgid(0, 0)
    os.chdir(asked["folder"])
    # Others find it by the mark in /proc, which shows the environment that a process began with.
    ctypes.memmove(mark, asked["env"].get(MARK, NO_MARK).encode(), len(NO_MARK))
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[1:] = asked["words"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]


def _address_of(variable: str) -> int:
    """Where the value of an environment variable stands that this process began with."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address: int | None = getenv(variable.encode())
    if address is None:
        raise AssertionError(f"started without {variable}")
    return address
