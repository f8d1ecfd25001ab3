"""Which checks of a session are left, and which of them a worker gets next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from frame_harness.judge.evidence import RunKey
from frame_harness.session.preflight import Facts

T = TypeVar("T")


@dataclass(frozen=True)
class Assignment(Generic[T]):
    """Checks that one worker makes, one after the other.

    Attributes:
        run: of all of them; None for tests that need no guest.
        facts: what another worker took down before the first check of the run; None where the worker that
            gets this has to do it, or has done it.
    """

    run: RunKey | None
    checks: tuple[T, ...]
    facts: Facts | None = None


@dataclass(frozen=True)
class Unit(Generic[T]):
    """Checks of one run that have to stay together, in order.

    Attributes:
        comes_first: they are made before others.
    """

    run: RunKey | None
    checks: tuple[T, ...]
    comes_first: bool = False


@dataclass
class _RunQueue(Generic[T]):
    """What is left of one run."""

    run: RunKey | None
    units: deque[Unit[T]] = field(default_factory=deque)
    owner: int | None = None
    facts: Facts | None = None

    @property
    def is_shared(self) -> bool:
        """Whether others than its owner may take from it."""
        return self.run is None or self.facts is not None


class Schedule(Generic[T]):
    """Assigns run by run: who gets the first checks of a run does its preflight, and others wait for that."""

    def __init__(self, units: Iterable[Unit[T]]) -> None:
        """Assign them in order, those that come first before all others of any run."""
        self._queues: dict[RunKey | None, _RunQueue[T]] = {}
        for unit in sorted(units, key=lambda unit: not unit.comes_first):
            self._queues.setdefault(unit.run, _RunQueue(unit.run)).units.append(unit)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to assign."""
        return not any(queue.units for queue in self._queues.values())

    def next_for(self, worker: int) -> Assignment[T] | None:
        """What a worker makes next; None where there is nothing for it now.

        Its own run comes first, then one that nobody has begun, then one that another worker has prepared.
        """
        left = [queue for queue in self._queues.values() if queue.units]
        first = [queue for queue in left if queue.units[0].comes_first]
        chosen = _chosen(first, worker) or _chosen(left, worker)
        if chosen is None:
            return None
        if chosen.owner is None:
            chosen.owner = worker
        facts = chosen.facts if chosen.owner != worker else None
        return Assignment(chosen.run, chosen.units.popleft().checks, facts)

    def prepared(self, run: RunKey, facts: Facts) -> None:
        """Let others take from a run whose witnesses were compared."""
        self._queues[run].facts = facts

    def lost(self, worker: int, assignment: Assignment[T] | None) -> None:
        """Take back what a worker that died did not begin; its runs are prepared again by somebody else."""
        for queue in self._queues.values():
            if queue.owner == worker:
                queue.owner = queue.facts = None
        if assignment is not None and assignment.checks:
            self._queues[assignment.run].units.appendleft(
                Unit(assignment.run, assignment.checks, comes_first=True)
            )


def _chosen(queues: Iterable[_RunQueue[T]], worker: int) -> _RunQueue[T] | None:
    queues = list(queues)
    mine = [queue for queue in queues if queue.owner == worker]
    unbegun = [queue for queue in queues if queue.owner is None]
    others = [queue for queue in queues if queue.owner not in (None, worker) and queue.is_shared]
    return next(iter((*mine, *_longest_first(unbegun), *_longest_first(others))), None)


def _longest_first(queues: Iterable[_RunQueue[T]]) -> list[_RunQueue[T]]:
    return sorted(queues, key=lambda queue: len(queue.units), reverse=True)
