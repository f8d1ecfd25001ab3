"""Runs commands that lie in guest RAM on another CPU than the one that serves the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np

from frame_harness.base.errors import ProtocolError
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.console.protocol import ReplyLine, parse_line, quote_line
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.checks import NotEvaluated
from frame_harness.guest.program import Ask, Program, Ran
from frame_harness.guest.programmed import ProgrammedGuest
from frame_harness.guest.reply import Reply

G = TypeVar("G", bound=ProgrammedGuest)
_SHOWN = 80


class ProgramElsewhere(Program):
    """The room for programs in a guest's RAM, whose commands another CPU runs; the first one waits for it."""

    def __init__(self, kernel: BootedGuest, cpu: int) -> None:
        super().__init__(kernel)
        self._cpus, self._cpu = Cpus(kernel), cpu
        record = self._cpus.table["cpus"][cpu]
        self._line, self._answer = record["line"], record["answer"]

    def run(self, asks: Sequence[Ask]) -> Ran:
        """Do as any program does; each reply says on which CPU its command ran."""
        ran = super().run(asks)
        where = f" (on CPU {self._cpu})"
        return replace(ran, replies=[replace(one, request=one.request + where) for one in ran.replies])

    def _carry_out(self, n_bytes: int) -> int:
        line = b"run %d\0" % n_bytes
        self._line[: len(line)] = np.frombuffer(line, np.uint8)
        self._cpus.run({self._cpu: Job(("call",), iterations=1)})
        for _ in ("smp.job", "smp.run"):
            self.kernel.commands.pop()  # they say nothing; see `tell`
        text = self._answer.tobytes().partition(b"\0")[0]
        answer = parse_line(b"=0 " + text) if text.startswith(b"ok ") else None
        if not isinstance(answer, ReplyLine):
            where = f"its end on CPU {self._cpu}"
            raise ProtocolError("program", where, expected="ok", actual=quote_line(text)[:_SHOWN])
        return Reply("run", answer)["done"]


@contextmanager
def programs_on(kernel: G, cpu: int) -> Iterator[G]:
    """Let another CPU run the programs of a guest, until the end of the block.

    Raises:
        NotEvaluated: somebody follows the guest command by command, so it runs no program.
    """
    if not kernel.runs_programs:
        raise NotEvaluated(
            "programs of another CPU",
            detail="they run as a whole, and this guest is followed command by command",
            next_step=f"send the command to that CPU at the console: smp.job {cpu} call",
        )
    kernel.program = ProgramElsewhere(kernel, cpu)
    try:
        yield kernel
    finally:
        vars(kernel).pop("program", None)
