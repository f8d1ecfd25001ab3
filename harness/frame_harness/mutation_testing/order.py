"""Which checks of a mutant are made first: those that are likely to notice it, the cheapest before others.

Coverage says which checks run the changed lines. What it cannot see has a fixed place. Memory orderings are
read in compiled code: first of all for a mutant that weakens one. A race takes several CPUs: these checks
come first for an operation that is split. Declarations are read in debug information, before all checks that
need a guest and run none of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from frame_harness.judge.evidence import ON_SEVERAL_CPUS, Level
from frame_harness.mutation.mutants import Mutant, Operator

T = TypeVar("T")

OF_ORDERINGS: Final = frozenset({Operator.ORDERING, Operator.FAILURE_ORDERING, Operator.FENCE_DROPPED})
_OF_SEVERAL_CPUS: Final = frozenset({Operator.RMW_SPLIT, Operator.LOCK_RELEASED})
_ALL: Final = 1000
"""Stands for all checks where one runs no line of the function."""


class Tier(IntEnum):
    """Checks of an earlier one are all made before those of a later one."""

    MADE_FOR_IT = 0  # what this operator breaks is seen there or nowhere
    NAMED = 1  # runs the lines, and is about the function
    REACHING = 2  # runs the lines
    DECLARATIONS = 3  # reads what the compiler says of types and constants: no guest is started
    COMPILED = 4  # reads the memory orderings in compiled code
    SEVERAL_CPUS = 5  # runs the lines on several CPUs at once
    OTHERS = 6


@dataclass(frozen=True)
class Candidate:
    """A check in a run, as far as it matters when it is made.

    Attributes:
        functions: that it may find broken, by their paths as the contract writes them.
        group: of checks that share something and are made together; empty for none.
        cost_s: how long it took on the subject.
        runs_with: of the lines of the mutant's function that this check runs, take the one that the fewest
            checks run; so many run it. 1 where no other does, 0 where this one runs none of the function.
    """

    check: str
    level: Level
    functions: frozenset[str]
    group: str
    cost_s: float
    runs_with: int = 0


def tier(candidate: Candidate, mutant: Mutant, reaching: frozenset[str]) -> Tier:
    """Return how likely a check is to notice a mutant, by what it is about and what it reaches."""
    level, reaches = candidate.level, candidate.check in reaching
    if level is Level.COMPILED:
        return Tier.MADE_FOR_IT if mutant.operator in OF_ORDERINGS else Tier.COMPILED
    if level in ON_SEVERAL_CPUS and reaches:
        return Tier.MADE_FOR_IT if mutant.operator in _OF_SEVERAL_CPUS else Tier.SEVERAL_CPUS
    if level is Level.DECLARATION:
        return Tier.NAMED if names(candidate.functions, mutant) else Tier.DECLARATIONS
    if reaches:
        return Tier.NAMED if names(candidate.functions, mutant) else Tier.REACHING
    return Tier.OTHERS


def names(functions: Iterable[str], mutant: Mutant) -> bool:
    """Whether some functions are the mutant's, or the constant or type that it changes."""
    own = mutant.function
    return any(own == one or own.endswith(f"::{one}") or one.endswith(f"::{own}") for one in functions)


def in_order(
    checks: Iterable[T], seen_as: Callable[[T], Candidate], mutant: Mutant, reaching: frozenset[str]
) -> list[T]:
    """Sort checks of one run: by tier, then by cost times `runs_with`.

    Those of a group stay together, at the place of the first: what they share is made once, with that one.
    """
    groups: dict[str, list[tuple[T, Candidate]]] = {}
    for number, check in enumerate(checks):
        candidate = seen_as(check)
        groups.setdefault(candidate.group or f"{number}", []).append((check, candidate))

    def place(group: Sequence[tuple[T, Candidate]]) -> tuple[Tier, float]:
        first = min(tier(candidate, mutant, reaching) for _, candidate in group)
        # What they share was made by the first one, which then took longest.
        cost_s = max(candidate.cost_s for _, candidate in group)
        return first, cost_s * min(_commonness(candidate) for _, candidate in group)

    def weight(one: tuple[T, Candidate]) -> float:
        return one[1].cost_s * _commonness(one[1])

    return [check for group in sorted(groups.values(), key=place) for check, _ in sorted(group, key=weight)]


def _commonness(candidate: Candidate) -> int:
    """Where many checks run a line, one of the cheap ones notices what is wrong with it."""
    return candidate.runs_with or _ALL
