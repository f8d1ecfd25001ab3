"""Ends this process when the one that started it ends, and what processes left behind that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Container
from pathlib import Path
from typing import Final

from frame_harness.base.errors import MachineError

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h, Linux 6.1
PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h, Linux 6.1


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process when its parent ends, however it ends.

    The signal comes when the *thread* that started this process ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: the process id that the parent is known by; nothing is done for a process of somebody else.
        by: the signal that ends it; one that it handles has to end it in the end.
    Raises:
        MachineError: the kernel refused.
    """
    if os.getppid() != parent:
        return
    _prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        # It ended in between, and no signal will come.
        os.kill(os.getpid(), by)


def adopt_orphans() -> None:
    """Have processes whose parent ends become children of this one, if they descend from it.

    Raises:
        MachineError: the kernel refused.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_children(but: Container[int]) -> None:
    """Kill all children of this process, with the children that they leave to it.

    Args:
        but: process ids of those that stay.
    """
    while left := [pid for pid in _children() if pid not in but]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    listed = [*Path("/proc/self/task").glob("*/children")]
    if not listed:  # a kernel without CONFIG_PROC_CHILDREN
        return _children_among_all()
    # It may leave out some while others end, but never all (proc(5)); who asks, asks until there are none.
    return [int(pid) for file in listed for pid in file.read_text().split()]


def _children_among_all() -> list[int]:
    own, found = str(os.getpid()), []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # 4242 (a name) with) S 4241 4242 …
            if stat.read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                found.append(int(stat.parent.name))
    return found


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise MachineError("host", "prctl", detail=os.strerror(ctypes.get_errno()))
