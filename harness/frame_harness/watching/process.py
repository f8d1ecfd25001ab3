"""One round in a process of its own, which can be stopped at any time with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Container
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import IO, Final

from frame_harness.base.forking import forked
from frame_harness.base.interruption import Blocked, unstopped, until_interrupted
from frame_harness.base.parent import end_children
from frame_harness.base.pipes import heard
from frame_harness.watching.messages import Tell, WatchMessage, read, written

GRACE_S: Final = 5.0
"""For a round that is told to stop: it ends its guests and its compiler, and removes its files."""
_LAST_LINES: Final = 20


class Round:
    """A process that judges, and says what it sees.

    Attributes:
        said: becomes ready when it says something, or ended.
    """

    def __init__(self, work: Callable[[Tell], None], keep: Container[int]) -> None:
        """Fork it: everything is imported here already, and this process has one thread of Python's.

        Args:
            keep: process ids of children that are none of a round's.
        """
        self._keep = keep
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the round
        with unstopped() as blocked:
            doing = partial(_work, work, self._log.fileno())
            self.said, self._process = forked(doing, blocked, daemon=False)
            with contextlib.suppress(OSError):  # whoever comes first does it
                os.setpgid(self._process.pid or 0, self._process.pid or 0)

    def next(self) -> WatchMessage | None:
        """What it says next; None once it ended."""
        try:
            return read(heard(self.said))
        except EOFError:
            return None

    def stop(self) -> None:
        """End it as Ctrl-C would, then whatever is left of it; nothing of it runs any more afterwards."""
        with unstopped():
            self.said.close()
            self._signal(signal.SIGINT)
            wait([self._process.sentinel], GRACE_S)
            self._end()

    def last_words(self) -> str:
        """End what is left of a process that ended by itself; return what it printed last."""
        with unstopped():
            self.said.close()
            wait([self._process.sentinel], GRACE_S)
            lines = self._printed().splitlines()[-_LAST_LINES:]
            self._end()
        return "\n".join(lines)

    def _end(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.join()
        end_children(self._keep)
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, number)

    def _printed(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


def _work(work: Callable[[Tell], None], log: int, connection: Connection, blocked: Blocked) -> None:
    """What the process does; what it prints is kept for the case that it breaks down."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)  # the parent's: a signal to a round is none to it
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    until_interrupted(lambda: work(lambda message: connection.send_bytes(written(message))), blocked)
