"""Tells when a CPU that runs alone under a debugger is waited for no longer, and what is done meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

HALT_LOOK_S: Final = 0.25
HALT_LOOKS: Final = 4
"""So often in a row a CPU must be seen halted: no other one runs that would wake it."""


class WaitLimit:
    """How long a CPU that runs alone is waited for: for so many seconds, unless it halts before."""

    def __init__(self, limit_s: float, halted: Callable[[], bool]) -> None:
        self._halted, self._looks = halted, 0
        self._end = time.monotonic() + limit_s
        self._next = time.monotonic() + HALT_LOOK_S
        self.why = ""
        """Why it is over; empty as long as it is not."""

    def is_over(self) -> bool:
        """Look, where it is time for that."""
        now = time.monotonic()
        if not self.why and now > self._end:
            self.why = "it comes to no breakpoint; it may halt, or wait"
        if not self.why and now > self._next:
            self._next = now + HALT_LOOK_S
            self._looks = self._looks + 1 if self._halted() else 0
            if self._looks >= HALT_LOOKS:
                self.why = "it halts, and no interrupt comes that would wake it"
        return bool(self.why)


def now_and_then(act: Callable[[], None], every_s: float) -> Callable[[], None]:
    """Return what calls `act` whenever it is called itself, at most once in so many seconds."""
    due = time.monotonic() + every_s

    def call() -> None:
        nonlocal due
        if (now := time.monotonic()) > due:
            due = now + every_s
            act()

    return call
