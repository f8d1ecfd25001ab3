"""Ends this process when the one that started it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

from frame_harness.base.errors import MachineError

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h, 6.1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends.

    The signal comes when the *thread* that started this process ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: the process id that the parent is known by; nothing is done for a process of somebody else.
    Raises:
        MachineError: the kernel refused.
    """
    if os.getppid() != parent:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise MachineError("host", "prctl", detail=os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        # It ended in between, and no signal will come.
        os.kill(os.getpid(), signal.SIGKILL)
