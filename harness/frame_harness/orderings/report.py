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
    """A subject's functions as the compiler left them.

    Attributes:
        functions: by `Type::method` or name.
        unread: functions that were compiled yet could not be walked, with the reason.
        walks: by name the ways through a function from known values of fields; see `OrderingRules`.
        unwalked: functions that could not be walked from known values, with the reason.
        file: the subject's path, for functions that are missing.
        places: (file, line) where functions begin that were compiled.
        lacks: names that this version of the subject has not; what they would do is not judged.
    """

    functions: Mapping[str, Function]
    walks: Mapping[str, tuple[Path, ...]]
    file: str
    unread: Mapping[str, str]
    places: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    unwalked: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OrderingScene:
    """What shows a violation.

    Attributes:
        path: a way through the function.
        weak: the access on it that is to blame.
        trial: the program in which a CPU sees what it may not; None where none is known.
    """

    path: Path
    weak: MemoryAccess | None
    trial: Trial | None = None


@dataclass(frozen=True)
class OrderingViolation:
    """One place where compiled code promises less than the contract.

    Attributes:
        consequence: what another CPU could see because of it.
        scene: what shows it; None where there is nothing to show.
    """

    clause: str
    function: str
    field: str
    expected: str
    got: str
    file: str
    line: int
    consequence: str
    scene: OrderingScene | None = dataclasses.field(default=None, compare=False, repr=False)

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
    """What the compiled code of one subject says about the clauses of kind O.

    Attributes:
        clauses: `held`, `violated`, `not-evaluated` or `not in this version`, by id.
        unjudged: what keeps clauses from being evaluated.
        notes: what is worth knowing and breaks nothing.
        events: what each function does, in words.
        proofs: how the checker showed, in this very run, that it sees.
    """

    clauses: Mapping[str, str]
    violations: tuple[OrderingViolation, ...]
    notes: tuple[str, ...]
    events: Mapping[str, tuple[str, ...]]
    proofs: tuple[str, ...] = ()
    unjudged: tuple[UnjudgedCode, ...] = ()


def place_of(function: Function, access: MemoryAccess | None, *, outermost: bool = False) -> tuple[str, int]:
    """Return the source line of an access, or the function's own.

    Args:
        outermost: the line of the function itself that leads there, not that of the accessor it calls.
    """
    if access is not None and access.trail:
        step = access.trail[-1 if outermost else 0]
        return step.file, step.line
    return function.file, function.line
