"""A case that shows a fault of a core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from frame_harness.guest.backtrace import texts
from frame_harness.guest.errors import GuestFailure, GuestTimeout
from frame_harness.image.code_at import CodeAt
from frame_harness.memory_core.judging import CoreViolation, Key
from frame_harness.memory_core.owning_steps import CopyOnWrite, Mark, Own
from frame_harness.memory_core.steps import (
    Alloc,
    AsCpu,
    CaseStep,
    CaseStorm,
    Fill,
    FrameAlloc,
    Free,
    FreeHalf,
    FreeOne,
    PageTables,
    Poison,
    PoisonFree,
    WrongFree,
)


@dataclass(frozen=True)
class Failure:
    """A case whose last step shows that a clause is broken."""

    steps: tuple[CaseStep, ...]
    violation: CoreViolation
    function: str
    """Of the core that the last step called."""
    at: str = ""
    """`file:line` of a panic, or where the core hung or faulted."""
    commands: tuple[str, ...] = ()
    """As the guest got them, with its answers."""
    backtrace: tuple[str, ...] = ()
    behind: tuple[Key, ...] = ()
    """Known faults that showed earlier in the same case."""
    hung: bool = False
    """The guest used up its time: to play such a case costs all of it."""

    @property
    def key(self) -> Key:
        """What a shorter case must show, too: the clause with the cause."""
        return self.violation.key


def of_a_dead_guest(
    done: Sequence[CaseStep],
    asked: str,
    function: str,
    commands: Sequence[str],
    behind: Iterable[Key],
    failure: GuestFailure,
    inner: CodeAt | None,
) -> Failure:
    """A core that hangs, or that faults so that nothing can be believed any more.

    Args:
        asked: the request that the guest did not survive.
        function: of the core that the last step called.
        inner: the innermost call that is the core's.
    """
    how = "does not come back" if isinstance(failure, GuestTimeout) else "faults"
    violation = CoreViolation(
        "CORE-20" if asked == "core.totals" else clause_of_return(done[-1] if done else None),
        f"`{asked}`", "an answer",
        f"it {how}: {failure.summary}", None, f"{how} in {inner.function if inner else 'the core'}",
    )  # fmt: skip
    return Failure(
        tuple(done), violation, function, f"{inner.file}:{inner.line}" if inner else "",
        (*commands, f"{asked} → no answer"), texts(failure.backtrace), tuple(behind),
        hung=isinstance(failure, GuestTimeout),
    )  # fmt: skip


_PROMISED: Final[Mapping[type, str]] = {
    Alloc: "CORE-09",
    Fill: "CORE-09",
    AsCpu: "CORE-09",
    Free: "CORE-15",
    FreeHalf: "CORE-15",
    FreeOne: "CORE-15",
    WrongFree: "CORE-17",
    Poison: "CORE-19",
    CaseStorm: "CORE-21",
    PageTables: "CORE-22",
    Own: "CORE-27",
    FrameAlloc: "CORE-34",
    PoisonFree: "CORE-37",
    Mark: "CORE-38",
    CopyOnWrite: "CORE-39",
}
"""The clause by which a step comes back as it should; the start does by CORE-01."""


def clause_of_return(step: CaseStep | None) -> str:
    """The clause that a step breaks whose call never comes back, or comes back with a lock locked."""
    match step:
        case CaseStorm(cpus=1):
            return "CORE-09"
        case _:
            return _PROMISED.get(type(step), "CORE-01")
