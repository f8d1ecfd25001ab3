"""A case that shows a fault of a core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from frame_harness.guest.backtrace import code_line
from frame_harness.guest.errors import GuestFailure, GuestTimeout
from frame_harness.memory_core.judging import Key, Violation
from frame_harness.memory_core.steps import (
    Alloc,
    Fill,
    FrameAlloc,
    Free,
    FreeOne,
    PageTables,
    Poison,
    PoisonFree,
    Step,
    Storm,
    WrongFree,
)

CORE: Final = "::memory::"
"""What the path of every function of a core has in it."""


@dataclass(frozen=True)
class Failure:
    """A case whose last step shows that a clause is broken.

    Attributes:
        function: of the core that the last step called.
        at: `file:line` of a panic, or where the core hung or faulted.
        commands: as the guest got them, with its answers.
        behind: known faults that showed earlier in the same case.
    """

    steps: tuple[Step, ...]
    violation: Violation
    function: str
    at: str = ""
    commands: tuple[str, ...] = ()
    backtrace: tuple[str, ...] = ()
    behind: tuple[Key, ...] = ()
    hung: bool = False
    """The guest used up its time: to play such a case costs all of it."""

    @property
    def clause(self) -> Key:
        """What a shorter case must show, too: the clause with the cause."""
        return self.violation.key


def of_a_dead_guest(
    done: Sequence[Step],
    asked: str,
    function: str,
    commands: Sequence[str],
    behind: Iterable[Key],
    failure: GuestFailure,
) -> Failure:
    """A core that hangs, or that faults so that nothing can be believed any more.

    Args:
        asked: the request that the guest did not survive.
        function: of the core that the last step called.
    """
    frames = [found for line in failure.backtrace if (found := code_line(line))]
    inner = next((one for one in frames if CORE in one.function), None)
    how = "does not come back" if isinstance(failure, GuestTimeout) else "faults"
    violation = Violation(
        _clause_of(done, asked), f"`{asked}`", "an answer",
        f"it {how}: {failure.summary}", None, f"{how} in {inner.function if inner else 'the core'}",
    )  # fmt: skip
    return Failure(
        tuple(done), violation, function, f"{inner.file}:{inner.line}" if inner else "",
        (*commands, f"{asked} → no answer"), failure.backtrace, tuple(behind),
        hung=isinstance(failure, GuestTimeout),
    )  # fmt: skip


def _clause_of(done: Sequence[Step], asked: str) -> str:
    """What a step promises that never came back."""
    match done[-1] if done else None:
        case Alloc() | Fill() | Storm(cpus=1):
            clause = "CORE-09"
        case Free() | FreeOne():
            clause = "CORE-15"
        case WrongFree():
            clause = "CORE-17"
        case Poison():
            clause = "CORE-19"
        case Storm():
            clause = "CORE-21"
        case PageTables():
            clause = "CORE-22"
        case FrameAlloc():
            clause = "CORE-34"
        case PoisonFree():
            clause = "CORE-37"
        case _:
            clause = "CORE-01"
    return "CORE-20" if asked == "core.totals" else clause
