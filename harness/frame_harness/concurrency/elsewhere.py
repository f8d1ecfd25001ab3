"""Runs commands that lie in guest RAM on other CPUs than the one that serves the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from typing import Final, TypeVar

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
OTHERS: Final = (1, 2, 3)
"""CPUs that a check takes in turn, so that what one of them alone does wrong is seen."""
STRETCHES: Final = 3
"""So often it is each CPU's turn: none has all small values. A turn costs two requests."""
WITH_OTHERS: Final = len(OTHERS) + 1
_SHOWN = 80


class ProgramElsewhere(Program):
    """The room for programs in a guest's RAM, whose commands other CPUs run; the first one waits for them.

    They run in the order given, stretch by stretch, each on the next CPU. A stretch begins at an even
    command, so that pairs stay together, such as an offer and an allocation. Larger groups may be parted.
    """

    def __init__(self, kernel: BootedGuest, *cpus: int) -> None:
        super().__init__(kernel)
        self._cpus, self._on, self._cpu, self._earlier = Cpus(kernel), cpus, cpus[0], 0

    @property
    def begun(self) -> int:
        """Commands that were begun, of those that `run` was given last."""
        return self._earlier + super().begun

    def run(self, asks: Sequence[Ask]) -> Ran:
        """Do as any program does; each reply says on which CPU its command ran."""
        self.require(asks)
        size = max(2 * -(-len(asks) // (2 * STRETCHES * len(self._on))), 2)
        replies, seen = list[Reply](), b""
        for cpu, earlier in zip(cycle(self._on), range(0, len(asks), size), strict=False):
            self._cpu, self._earlier = cpu, earlier
            ran = super().run(asks[earlier : earlier + size])
            where = f" (on CPU {cpu})"
            replies += [replace(one, request=one.request + where) for one in ran.replies]
            seen += ran.seen
        self._earlier = 0
        return Ran(replies, seen)

    def _carry_out(self, n_bytes: int) -> int:
        line = b"run %d\0" % n_bytes
        record = self._cpus.table["cpus"][self._cpu]
        record["line"][: len(line)] = np.frombuffer(line, np.uint8)
        self._cpus.run({self._cpu: Job(("call",), iterations=1)})
        for _ in ("smp.job", "smp.run"):
            self.kernel.commands.pop()  # they say nothing; see `tell`
        text = record["answer"].tobytes().partition(b"\0")[0]
        answer = parse_line(b"=0 " + text) if text.startswith(b"ok ") else None
        if not isinstance(answer, ReplyLine):
            where = f"its end on CPU {self._cpu}"
            raise ProtocolError("program", where, expected="ok", actual=quote_line(text)[:_SHOWN])
        return Reply("run", answer)["done"]


@contextmanager
def programs_on(kernel: G, *cpus: int) -> Iterator[G]:
    """Let other CPUs run the programs of a guest, each a part of them, until the end of the block.

    Raises:
        NotEvaluated: somebody follows the guest command by command, so it runs no program.
    """
    if not kernel.runs_programs:
        raise NotEvaluated(
            "programs of another CPU",
            detail="they run as a whole, and this guest is followed command by command",
            next_step=f"send the command to that CPU at the console: smp.job {cpus[0]} call",
        )
    kernel.program = ProgramElsewhere(kernel, *cpus)
    try:
        yield kernel
    finally:
        vars(kernel).pop("program", None)
