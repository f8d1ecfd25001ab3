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
class Hand(Generic[T]):
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
class _Pile(Generic[T]):
    """What is left of one run."""

    run: RunKey | None
    units: deque[Unit[T]] = field(default_factory=deque)
    owner: int | None = None
    facts: Facts | None = None

    @property
    def is_shared(self) -> bool:
        """Whether others than its owner may take from it."""
        return self.run is None or self.facts is not None


class Deck(Generic[T]):
    """Deals run by run: who gets the first checks of a run does its preflight, and others wait for that."""

    def __init__(self, units: Iterable[Unit[T]]) -> None:
        """Deal them in order, those that come first before all others of any run."""
        self._piles: dict[RunKey | None, _Pile[T]] = {}
        for unit in sorted(units, key=lambda unit: not unit.comes_first):
            self._piles.setdefault(unit.run, _Pile(unit.run)).units.append(unit)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to deal."""
        return not any(pile.units for pile in self._piles.values())

    def hand_for(self, worker: int) -> Hand[T] | None:
        """What a worker makes next; None where there is nothing for it now.

        Its own run comes first, then one that nobody has begun, then one that another worker has prepared.
        """
        left = [pile for pile in self._piles.values() if pile.units]
        first = [pile for pile in left if pile.units[0].comes_first]
        chosen = _chosen(first, worker) or _chosen(left, worker)
        if chosen is None:
            return None
        if chosen.owner is None:
            chosen.owner = worker
        facts = chosen.facts if chosen.owner != worker else None
        return Hand(chosen.run, chosen.units.popleft().checks, facts)

    def prepared(self, run: RunKey, facts: Facts) -> None:
        """Let others take from a run whose witnesses were compared."""
        self._piles[run].facts = facts

    def lost(self, worker: int, hand: Hand[T] | None) -> None:
        """Take back what a worker that died did not begin; its runs are prepared again by somebody else."""
        for pile in self._piles.values():
            if pile.owner == worker:
                pile.owner = pile.facts = None
        if hand is not None and hand.checks:
            self._piles[hand.run].units.appendleft(Unit(hand.run, hand.checks, comes_first=True))


def _chosen(piles: Iterable[_Pile[T]], worker: int) -> _Pile[T] | None:
    piles = list(piles)
    mine = [pile for pile in piles if pile.owner == worker]
    unbegun = [pile for pile in piles if pile.owner is None]
    others = [pile for pile in piles if pile.owner not in (None, worker) and pile.is_shared]
    return next(iter((*mine, *_longest_first(unbegun), *_longest_first(others))), None)


def _longest_first(piles: Iterable[_Pile[T]]) -> list[_Pile[T]]:
    return sorted(piles, key=lambda pile: len(pile.units), reverse=True)
