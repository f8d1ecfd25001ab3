"""Keeps Ctrl-C from workers: the command hears it, and ends them in order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Final

_OF_THE_COMMAND: Final = (signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def only_for_the_command() -> Iterator[None]:
    """Start threads in the block: they, and the processes that they start at any time, hear no Ctrl-C."""
    # Python's own helper of processes unblocks these signals in the thread that starts it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_COMMAND)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
