"""Kills a process, then looks whether its child ends with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence

PATIENCE_S = 60


def child_ends_too(argv: Sequence[str], number: signal.Signals) -> bool:
    """Start a process that prints its child's process id and waits; send it a signal, watch the child."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(number)
        parent.wait(PATIENCE_S)
    poller = select.poll()
    poller.register(child, select.POLLIN)
    ended = bool(poller.poll(PATIENCE_S * 1000))
    os.close(child)
    return ended
