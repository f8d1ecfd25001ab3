"""One turn of two CPUs: where the first one stood while the second one ran."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from frame_harness.base.errors import HarnessError
from frame_harness.concurrency.recording import Recording
from frame_harness.judge.diagrams import Hold, Interleaving


class StepPanicked(Exception):
    """A step ends in a panic, about which the guest has more to say."""


@dataclass(frozen=True)
class Turn:
    """Where the first CPU stood while the second one ran."""

    hold: Hold
    operations: tuple[str, str]
    """The steps of the first CPU and of the second one."""
    ended: bool = False
    """The first CPU was through with its step."""
    panicked: bool = False
    """Its step, or that of the second CPU, came to no end: it refused."""
    again: Callable[[], Recording] | None = field(default=None, compare=False, repr=False)
    """Makes the turn once more and writes down the accesses; None where that cannot be."""

    def diagram(self, part: str, expected: str, got: str, field: str) -> Interleaving:
        """What the CPUs did, with what came of it: the same is expected of both orders of the steps."""
        orders = (expected, expected)
        diagram = Interleaving(
            operations=self.operations, hold=self.hold, part=part, orders=orders, got=got, field=field
        )
        if self.again is None:
            return diagram
        try:
            return self.again().added_to(diagram)
        except (StepPanicked, HarnessError):
            # What was found counts. It is told without accesses where they cannot be had a second time.
            return diagram
