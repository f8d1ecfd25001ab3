"""Talks QMP with one QEMU, synchronously."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from qemu.qmp import ExecInterruptedError, ExecuteError, QMPClient, QMPError
from qemu.qmp.message import Message
from qemu.qmp.protocol import ConnectError, Runstate, StateError

from frame_harness.base.errors import MachineError

T = TypeVar("T")
Guard = Callable[[], None]
"""Raises when an answer that is outstanding will not come any more."""

SLICE_S: Final = 0.25  # how often a wait asks whether it still makes sense
DRAIN_LIMIT_S: Final = 10.0  # for the end of a stream whose writer is dead: it is there already

# The library logs each lost connection as an error; here that is an ordinary way for a guest to end, reported
# with the evidence. Without a handler Python would print such records to stderr.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


def _no_guard() -> None:
    """For a connection on which nothing is waited for any more."""


class MonitorGone(MachineError):
    """The monitor's connection ended: QEMU is gone, or about to be."""


class _Client(QMPClient):
    """Without the library's debug log: it would write each message as text, whoever reads it."""

    def _cb_inbound(self, msg: Message) -> Message:
        return msg

    def _cb_outbound(self, msg: Message) -> Message:
        return msg


class Qmp:
    """The monitor of one QEMU; every wait ends when its guard raises.

    A guard is called a few times a second while an answer is outstanding. There is no other limit, because a
    slow host must not look like a dead QEMU.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._guard = _no_guard
        self._loop = asyncio.new_event_loop()
        self._client = _Client("frame-harness")
        self._events: list[dict[str, Any]] = []
        self._closed = False
        self._stopped = False  # by Ctrl-C, which may have ended the connection's reader

    def guarded_by(self, guard: Guard) -> None:
        """Set the guard of waits that bring none of their own."""
        self._guard = guard

    def hand_over(self) -> Qmp:
        """End as `close` does, but for the connection; return the monitor of the next guest in this QEMU."""
        successor = copy.copy(self)
        successor._events, successor._guard = [], _no_guard
        self._collect()
        self._closed, self._guard = True, _no_guard
        return successor

    def connect(self) -> None:
        """Shake hands.

        Raises:
            MonitorGone: the other side hung up.
            MachineError: the other side speaks something else.
        """
        try:
            self._run(self._client.connect(self._sock))
        except ConnectError as error:
            if isinstance(error.exc, EOFError | OSError):
                raise MonitorGone("qemu monitor", "handshake", detail="the connection ended") from error
            raise MachineError("qemu monitor", "handshake", detail=f"not QMP: {error.exc}") from error

    def execute(
        self, command: str, arguments: dict[str, object] | None = None, guard: Guard | None = None
    ) -> object:
        """Run one command, return what QEMU returns for it.

        Raises:
            MonitorGone: QEMU ended before it answered.
            MachineError: QEMU refused.
        """
        if self._closed:
            raise MonitorGone("qemu monitor", command, detail="the connection ended")
        try:
            return self._run(self._client.execute(command, arguments), guard)
        except ExecuteError as error:
            raise MachineError("qemu monitor", command, detail=str(error)) from error
        except (ExecInterruptedError, StateError, ConnectionError) as error:
            raise MonitorGone("qemu monitor", command, detail="the connection ended") from error

    def hmp(self, text: str, guard: Guard | None = None) -> str:
        """Run one command of the human monitor, return what it prints."""
        answer = self.execute("human-monitor-command", {"command-line": text}, guard)
        return str(answer).replace("\r\n", "\n")

    def events(self) -> tuple[dict[str, Any], ...]:
        """Return every event that came before the last answer, oldest first; after `drain` simply all."""
        if not self._closed:
            self._collect()
        return tuple(self._events)

    def drain(self) -> None:
        """Read to the end of the stream; only for a QEMU that is dead."""
        if self._closed:
            return

        async def until_end() -> None:
            while self._client.runstate == Runstate.RUNNING:
                await self._client.runstate_changed()

        with contextlib.suppress(TimeoutError):
            # A child of a dead QEMU may hold the connection open; what came until then is the evidence.
            self._run(asyncio.wait_for(until_end(), DRAIN_LIMIT_S), _no_guard)
        self._collect()

    def close(self) -> None:
        """Hang up; the events stay readable."""
        if self._closed:
            return

        async def hang_up() -> None:
            # A connection that was cut off ends with the error that cut it: that is the normal end here.
            # So is Ctrl-C that ended the connection's reader, which was heard when it came; a new one is not.
            heard = (KeyboardInterrupt,) if self._stopped else ()
            with contextlib.suppress(QMPError, OSError, EOFError, *heard):
                async with asyncio.timeout(DRAIN_LIMIT_S):
                    await self._client.disconnect()

        self._run(hang_up(), _no_guard)  # the guard knows when QEMU was last asked: maybe hours ago
        self._collect()
        self._closed = True
        # Usually a method of the owner: letting go of it frees the owner, with its guest's RAM, at once.
        self._guard = _no_guard
        self._loop.close()
        self._sock.close()

    def _collect(self) -> None:
        self._events += map(dict, self._client.events.clear())

    def _run(self, work: Coroutine[Any, Any, T], guard: Guard | None = None) -> T:
        task = self._loop.create_task(work)
        try:
            while True:
                done, _ = self._loop.run_until_complete(asyncio.wait({task}, timeout=SLICE_S))
                if done:
                    return task.result()
                (guard or self._guard)()
        except BaseException as error:
            self._stopped |= isinstance(error, KeyboardInterrupt)
            if not task.done():
                task.cancel()
                self._loop.run_until_complete(asyncio.wait({task}))
            elif not task.cancelled():
                task.exception()  # seen: else asyncio prints what ended it
            raise
        finally:
            # A task keeps its exception, that its traceback, that this frame: they would outlive the guest.
            del task
