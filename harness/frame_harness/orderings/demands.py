"""What a contract asks of memory orderings, as the checker takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.report import Compiled, OrderingViolation


@dataclass(frozen=True)
class Need:
    """What one function must do to one field, at least."""

    clause: str
    function: str
    what: str
    """`read` (a load or update that acquires), `write` (a store or update that releases) or `update` (read
    and write in one step: nothing else will do).
    """
    field: str
    order: MemoryOrder
    failure: MemoryOrder | None = None
    """For an update that may be refused, also by a look ahead of it: the ordering of the refusal."""
    ceiling: MemoryOrder | None = None
    """What may be there without a note about a stronger ordering than asked for."""
    always: bool = True
    """On every path that returns; otherwise on some path."""
    optional: bool = False
    """The contract does not name the function, so it may be missing."""

    @property
    def expected(self) -> str:
        """The need in words, such as `update refcount, at least Release`."""
        failed = f", {self.failure.shown} on failure" if self.failure is not None else ""
        return f"{self.what} {self.field}, at least {self.order.shown}{failed}"


@dataclass(frozen=True)
class Walk:
    """A function that is also walked with known values of fields, which no other CPU writes to meanwhile."""

    function: str
    owned: Mapping[str, int]
    outdated: Mapping[str, int] = field(default_factory=dict)
    """Of such fields what first reads of each still find: another CPU wrote behind it."""


@dataclass(frozen=True)
class CanarySource:
    """A source that the checker must judge right before its word counts."""

    source: Path
    """Sound as it is, broken under `--cfg=weak`."""
    must_see: frozenset[tuple[str, str]]
    """(clause, function) that it has to find in the broken one."""


@dataclass(frozen=True, eq=False)
class OrderingRules:
    """The ordering clauses of one contract."""

    clauses: tuple[str, ...]
    needs: tuple[Need, ...]
    clause_of_field: Mapping[str, str]
    """The clause that is broken when a function that is read touches a field by anything but an atomic."""
    clause_of_slot: str
    """The same for bytes of a slot that are no field."""
    clause_of_statics: str
    """About the statics of the module."""
    canary: CanarySource
    also: tuple[str, ...] = ()
    """Functions that are read beside those of the needs."""
    in_steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Clauses that are judged over several accesses of a function, by function."""
    walks: Mapping[str, Walk] = field(default_factory=dict)
    """By a name that `steps` know."""
    steps: tuple[Callable[[Compiled], Iterator[OrderingViolation]], ...] = ()
    """Judge several accesses together."""
    notes: tuple[Callable[[Compiled], Iterator[str]], ...] = ()
    """On what is worth knowing and breaks nothing."""
    no_notes: frozenset[str] = frozenset()
    """Functions whose stronger orderings are not worth a note."""

    @cached_property
    def functions(self) -> tuple[str, ...]:
        """All functions that are read."""
        return tuple(dict.fromkeys([*(need.function for need in self.needs), *self.also]))
