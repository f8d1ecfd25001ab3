"""What an invariant is, what it answers, how those of one contract judge a state together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn

MAX_COUNTEREXAMPLES = 5

S = TypeVar("S")
C = TypeVar("C", bound="SharedColumns[Any]")
P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class SharedColumns(Protocol[P_co]):
    """What several invariants need of one state, each part computed once."""

    @property
    def past(self) -> P_co:
        """What a later state is compared with."""


@dataclass(frozen=True)
class Violation:
    """One counterexample; `pfn` is None where no single frame is to blame (a counter of a zone)."""

    invariant: str
    pfn: Pfn | None
    field: str
    expected: str
    got: str

    @property
    def text(self) -> str:
        """The counterexample as one line, the pfn in hexadecimal."""
        where = f"pfn {self.pfn:#x} {self.field}" if self.pfn is not None else self.field
        return f"{self.invariant}: {where}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class Sighting:
    """What one evaluation saw, before it carries the invariant's name."""

    evaluated: int
    """Frames, blocks, links or counters that were looked at."""
    total: int = 0
    """Counterexamples in all."""
    examples: tuple[tuple[Pfn | None, str, str, str], ...] = ()
    """At most `MAX_COUNTEREXAMPLES` of (pfn or None, field, expected, got)."""

    def __add__(self, other: Sighting) -> Sighting:
        return Sighting(
            self.evaluated + other.evaluated,
            self.total + other.total,
            (self.examples + other.examples)[:MAX_COUNTEREXAMPLES],
        )


class InvariantStatus(StrEnum):
    """What one invariant says about one state."""

    HELD = "held"
    VIOLATED = "violated"
    NOT_EVALUATED = "not-evaluated"


@dataclass(frozen=True)
class InvariantResult:
    """One invariant's answer: how much it looked at, at most five counterexamples, how many there are."""

    id: str
    clauses: tuple[str, ...]
    evaluated: int
    violations: tuple[Violation, ...]
    total: int

    @property
    def outcome(self) -> InvariantStatus:
        """Nothing looked at is never held."""
        if self.total:
            return InvariantStatus.VIOLATED
        return InvariantStatus.HELD if self.evaluated else InvariantStatus.NOT_EVALUATED

    @property
    def text(self) -> str:
        """The counterexamples, one a line, then how many more there are; empty where there is none."""
        lines = [violation.text for violation in self.violations]
        if self.total > len(lines):
            lines.append(f"{self.id}: and {self.total - len(lines)} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Invariant(Generic[C]):
    """A named property of a whole memory state."""

    id: str
    clauses: tuple[str, ...]
    """Ids of the contract that it serves."""
    holds: str
    """The formula; p and q range over pfns, s(p) is the slot."""
    blind_to: str
    """What breaks the clause yet passes here."""
    evaluate: Callable[[C], Sighting]
    """Sees shared columns, never raises on any content of the slots, lists and counters."""
    needs_previous: bool = False
    """Whether it compares with an earlier state."""

    def judge(self, columns: C) -> InvariantResult:
        """Evaluate on columns that other invariants share."""
        finding = self.evaluate(columns)
        violations = tuple(Violation(self.id, *example) for example in finding.examples)
        return InvariantResult(self.id, self.clauses, finding.evaluated, violations, finding.total)


@dataclass(frozen=True)
class InvariantReport(Generic[P]):
    """Every invariant's answer about one state."""

    results: Mapping[str, InvariantResult]
    past: P
    """What to hand to `Invariants.check_all` with the next state."""

    def __iter__(self) -> Iterator[InvariantResult]:
        return iter(self.results.values())

    def __getitem__(self, invariant_id: str) -> InvariantResult:
        return self.results[invariant_id]

    def ids(self, outcome: InvariantStatus) -> frozenset[str]:
        """The ids of the invariants with that outcome."""
        return frozenset(result.id for result in self if result.outcome is outcome)

    @property
    def violated(self) -> frozenset[str]:
        """The ids of the invariants with a counterexample."""
        return self.ids(InvariantStatus.VIOLATED)

    @property
    def held(self) -> frozenset[str]:
        """The ids of the invariants that looked at something and found no counterexample."""
        return self.ids(InvariantStatus.HELD)

    @property
    def not_evaluated(self) -> frozenset[str]:
        """The ids of the invariants that looked at nothing and so say nothing."""
        return self.ids(InvariantStatus.NOT_EVALUATED)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The counterexamples of all invariants, at most five each."""
        return tuple(violation for result in self for violation in result.violations)

    @property
    def text(self) -> str:
        """The counterexamples of all invariants, one a line; empty where there is none."""
        return "\n".join(result.text for result in self if result.total)


@dataclass(frozen=True, eq=False)
class Invariants(Mapping[str, Invariant[C]], Generic[S, C, P]):
    """The invariants of one contract by id, in the order of reports."""

    columns: Callable[[S, S | P | None], C]
    """Of a state, and of what an earlier state of the same guest left: that state, or the `past` of its
    report, which is cheaper.
    """
    each: tuple[Invariant[C], ...]

    def __getitem__(self, invariant_id: str) -> Invariant[C]:
        return self._by_id[invariant_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self.each)

    @cached_property
    def _by_id(self) -> dict[str, Invariant[C]]:
        return {invariant.id: invariant for invariant in self.each}

    def check_all(self, state: S, previous: S | P | None = None) -> InvariantReport[P]:
        """Judge every invariant on columns that are computed once."""
        columns = self.columns(state, previous)
        return InvariantReport({one.id: one.judge(columns) for one in self.each}, columns.past)


def frames_finding(
    evaluated: int,
    bad: NDArray[np.signedinteger[Any]],
    describe: Callable[[Pfn], tuple[str, str, str]],
) -> Sighting:
    """A finding from the pfns that break a rule; `describe` gives (field, expected, got) of one pfn.

    Args:
        bad: shape (k,); the first `MAX_COUNTEREXAMPLES` of them are described.
    """
    examples = tuple((Pfn(int(pfn)), *describe(Pfn(int(pfn)))) for pfn in bad[:MAX_COUNTEREXAMPLES])
    return Sighting(evaluated, len(bad), examples)
