"""Forks processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

from frame_harness.base.interruption import Blocked
from frame_harness.base.parent import die_with_parent

ForkedWork = Callable[[Connection, Blocked], None]
"""Is given its end of a pipe, and the signals that are to be blocked while it works."""


def forked(
    work: ForkedWork, blocked: Blocked, *, duplex: bool = False, daemon: bool = True
) -> tuple[Connection, ForkProcess]:
    """Fork a process; return this one's end of the pipe to it.

    Call it, and keep what it returns, within `unstopped`: the process begins with these signals blocked, so
    that it is never interrupted before it can end what it starts.

    Args:
        blocked: what `unstopped` gives.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex)
    with theirs:
        process = context.Process(target=_begin, args=(work, theirs, os.getpid(), blocked), daemon=daemon)
        process.start()
    return ours, process


def ended_within(process: ForkProcess, seconds: float) -> bool:
    """Whether a process of `forked` ends within a time.

    `ForkProcess.join` waits for the end of a pipe, which a process may close long before it ends.
    """
    if process.exitcode is not None:
        return True  # the start of another process waits for those that ended
    assert process.pid is not None
    own = os.pidfd_open(process.pid)
    try:
        ended = bool(wait([own], seconds))
    finally:
        os.close(own)
    if ended:
        process.join()
    return ended


def _begin(work: ForkedWork, connection: Connection, parent: int, blocked: Blocked) -> None:
    if os.getppid() == parent:  # else it ended before this process began
        die_with_parent(parent)
        work(connection, blocked)
