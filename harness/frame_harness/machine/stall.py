"""Tells how long QEMU has shown no sign of life; whoever waits for it decides what is too long."""

from __future__ import annotations

import time
from typing import Final

_PROGRESS_S: Final = 0.001
"""QEMU's CPU time that counts as a sign of life."""


class StallWatch:
    """When QEMU last used CPU time, or showed in another way that it runs."""

    def __init__(self, cpu_s: float) -> None:
        self.renew(cpu_s)

    def renew(self, cpu_s: float) -> None:
        """Begin to count anew, at this CPU time of QEMU."""
        self._cpu_s, self._since = cpu_s, time.monotonic()

    def alive(self) -> None:
        """Hear of a sign of life that is no CPU time."""
        self._since = time.monotonic()

    def look(self, cpu_s: float) -> float:
        """Take QEMU's CPU time as it is now; return for how many seconds it has shown no sign of life."""
        if cpu_s - self._cpu_s > _PROGRESS_S:
            self.renew(cpu_s)
        return time.monotonic() - self._since
