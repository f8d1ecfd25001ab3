"""The values that the judge of memory orderings returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from frame_harness.orderings.events import Function, MemoryAccess, Path
from frame_harness.orderings.outcomes import Trial

WHAT_TO_DO: Final = (
    "Use core::sync::atomic and core::ptr there, or instructions that are understood: mov, strings, "
    "movnt*, fences, xchg, anything with lock"
)


@dataclass(frozen=True)
class Compiled:
    """A subject's functions as the compiler left them."""

    functions: Mapping[str, Function]
    """By `Type::method` or name."""
    walks: Mapping[str, tuple[Path, ...]]
    """By name the ways through a function from known values of fields; see `OrderingRules`."""
    file: str
    """The subject's path, for functions that are missing."""
    unread: Mapping[str, str]
    """Functions that were compiled yet could not be walked, with the reason."""
    places: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    """(file, line) where functions begin that were compiled."""
    lacks: frozenset[str] = frozenset()
    """Names that this version of the subject has not; what they would do is not judged."""
    unwalked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Functions that could not be walked from known values, with the reason."""


@dataclass(frozen=True, eq=False)
class OrderingScene:
    """What shows a violation."""

    path: Path
    """A way through the function."""
    weak: MemoryAccess | None
    """The access on it that is to blame."""
    trial: Trial | None = None
    """The program in which a CPU sees what it may not; None where none is known."""


@dataclass(frozen=True)
class OrderingViolation:
    """One place where compiled code promises less than the contract."""

    clause: str
    function: str
    field: str
    expected: str
    got: str
    file: str
    line: int
    consequence: str
    """What another CPU could see because of it."""
    scene: OrderingScene | None = dataclasses.field(default=None, compare=False, repr=False)
    """What shows it; None where there is nothing to show."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else ""
        return (
            f"{place}{self.clause}: {self.function}: expected {self.expected}, got {self.got}\n"
            f"  consequence: {self.consequence}"
        )


@dataclass(frozen=True)
class UnjudgedCode:
    """Code that was not understood, and a clause that cannot be judged because of it."""

    clause: str
    function: str
    why: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.function}: {self.why}"


@dataclass(frozen=True)
class OrderingReport:
    """What the compiled code of one subject says about the clauses of kind O."""

    clauses: Mapping[str, str]
    """`held`, `violated`, `not-evaluated` or `not in this version`, by id."""
    violations: tuple[OrderingViolation, ...]
    notes: tuple[str, ...]
    """What is worth knowing and breaks nothing."""
    events: Mapping[str, tuple[str, ...]]
    """What each function does, in words."""
    proofs: tuple[str, ...] = ()
    """How the checker showed, in this very run, that it sees."""
    unjudged: tuple[UnjudgedCode, ...] = ()
    """What keeps clauses from being evaluated."""


def place_of(function: Function, access: MemoryAccess | None, *, outermost: bool = False) -> tuple[str, int]:
    """Return the source line of an access, or the function's own.

    Args:
        outermost: the line of the function itself that leads there, not that of the accessor it calls.
    """
    if access is not None and access.trail:
        step = access.trail[-1 if outermost else 0]
        return step.file, step.line
    return function.file, function.line
