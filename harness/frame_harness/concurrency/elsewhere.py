"""Runs commands that lie in guest RAM on another CPU than the one that serves the console."""

from __future__ import annotations

import numpy as np

from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.program import Program


class ProgramElsewhere(Program):
    """The room for programs in a guest's RAM, whose commands another CPU runs; the first one waits for it."""

    def __init__(self, kernel: BootedGuest, cpu: int) -> None:
        super().__init__(kernel)
        self._cpus, self._cpu = Cpus(kernel), cpu
        self._line = self._cpus.table["cpus"][cpu]["line"]

    def _carry_out(self, n_bytes: int) -> int:
        line = b"run %d\0" % n_bytes
        self._line[: len(line)] = np.frombuffer(line, np.uint8)
        self._cpus.run({self._cpu: Job(("call",), iterations=1)})
        for _ in ("smp.job", "smp.run"):
            self.kernel.commands.pop()  # they say nothing; see `tell`
        return int(self._record["begun"])
