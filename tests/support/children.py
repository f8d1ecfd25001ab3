"""Kills a process, then looks whether its child ends with it; what is left in the pipe of a killed one."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection

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


def cut_off() -> Connection:
    """A pipe whose other end was killed while it sent a message."""
    ours, theirs = Pipe(duplex=False)
    os.write(theirs.fileno(), struct.pack("!i", 1000) + b"half")
    theirs.close()
    return ours
