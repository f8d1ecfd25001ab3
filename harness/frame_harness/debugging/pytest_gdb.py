"""The plugin of pytest behind `--gdb`: when a check fails, its last guest waits for gdb, as with --pdb.

The plug-in of sessions loads it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import pytest

from frame_harness.debugging.gdb_command import GdbCommand
from frame_harness.debugging.guests import OpenGuests
from frame_harness.debugging.sockets import socket_folder
from frame_harness.debugging.waiting import end_guests, until_looked
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.errors import NotInThisVersion
from frame_harness.session import results
from frame_harness.session.plugin import KERNELS
from frame_harness.session.run import GUESTS

_STACK: Final = pytest.StashKey[ExitStack]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    workers = getattr(config.option, "numprocesses", None) or getattr(config.option, "dist", "no") != "no"
    if workers or hasattr(config, "workerinput"):
        raise pytest.UsageError("--gdb: checks of several processes cannot be held; leave -n away")


def pytest_sessionstart(session: pytest.Session) -> None:
    stack = session.config.stash[_STACK] = ExitStack()
    folder = stack.enter_context(socket_folder())
    session.config.stash[GUESTS] = OpenGuests(folder)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_STACK].close()


def pytest_exception_interact(node: object, call: pytest.CallInfo[None]) -> None:
    """Let a person look at the guest of a check that failed, before anything is taken down."""
    if not isinstance(node, pytest.Item) or results.planned_run(node) is None or call.excinfo is None:
        return
    if call.when == "teardown" or isinstance(call.excinfo.value, NotInThisVersion):
        return
    guests = node.config.stash[GUESTS]
    assert isinstance(guests, OpenGuests)
    words = str(call.excinfo.value).partition("\n")[0]
    with _shown(node.config) as say:
        say(f"{node.nodeid} failed: {words}")
        kernels: list[Kernel] = node.stash.get(KERNELS, [])
        kernel = next((one for one in reversed(kernels) if one.alive), None)
        path = None if kernel is None else guests.socket_of(kernel)
        if kernel is None or path is None:
            say("no guest of it is left; `frame-harness debug` makes a check again, and stops before that")
            return
        command = GdbCommand.write(kernel.image, path).shell()
        say(f"its guest waits for gdb, in another terminal:\n  {command}")
        say("it goes on when gdb has detached, or with Enter here; Ctrl-C ends the session")
        until_looked(kernel.guest)


def pytest_keyboard_interrupt() -> None:
    end_guests()


class _shown:
    """Shows lines past what pytest captures, for the time of a block."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")

    def __enter__(self) -> Callable[[str], None]:
        if self._capture is not None:
            self._capture.suspend_global_capture(in_=True)
        writer = self._config.get_terminal_writer()
        writer.line()

        def say(line: str) -> None:
            writer.line(line)
            writer.flush()

        return say

    def __exit__(self, *_: object) -> None:
        if self._capture is not None:
            self._capture.resume_global_capture()
