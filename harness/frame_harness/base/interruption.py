"""Lets a forked process end its work on Ctrl-C, and hear no other one while it ends.

A terminal sends Ctrl-C to all processes of a command, whose parent may tell a child once more. What comes
while Python ends a process would otherwise print the trace of a KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from frame_harness.base.commands import GRACE_S

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end in good order."""

Blocked = set[signal.Signals]
"""Signals that a process does not hear for a while."""


@contextlib.contextmanager
def unstopped() -> Iterator[Blocked]:
    """Put off Ctrl-C, and give the signals that were blocked before.

    Python ignores what a handler raises while it forks, and half an end is none.
    """
    before = {signal.Signals(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)}
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def until_interrupted(work: Callable[[], None], blocked: Blocked) -> None:
    """Do work that a signal interrupts; a second one within `GRACE_S` does not interrupt how it ends.

    Call it with the signals blocked, as last thing of a process; it returns with them blocked.

    Args:
        blocked: the signals that are blocked while the work is done.
    """
    heard = float("-inf")

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        now = time.monotonic()
        if now - heard > GRACE_S:  # a KeyboardInterrupt can be lost: then the parent tells it again
            heard = now
            raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, interrupt)
    try:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            work()
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    except KeyboardInterrupt:
        return
