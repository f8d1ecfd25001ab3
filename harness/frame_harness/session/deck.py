"""Which checks of a session are left, and which of them a worker gets next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
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


@dataclass
class _Pile(Generic[T]):
    """What is left of one run."""

    run: RunKey | None
    units: deque[tuple[T, ...]] = field(default_factory=deque)
    owner: int | None = None
    facts: Facts | None = None

    @property
    def is_shared(self) -> bool:
        """Whether others than its owner may take from it."""
        return self.run is None or self.facts is not None


class Deck(Generic[T]):
    """Deals run by run: who gets the first checks of a run does its preflight, and others wait for that."""

    def __init__(self, units: Iterable[tuple[RunKey | None, Sequence[T]]]) -> None:
        """Args: units: checks of one run that have to stay together, in order."""
        self._piles: dict[RunKey | None, _Pile[T]] = {}
        for run, checks in units:
            self._piles.setdefault(run, _Pile(run)).units.append(tuple(checks))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to deal."""
        return not any(pile.units for pile in self._piles.values())

    def hand_for(self, worker: int) -> Hand[T] | None:
        """What a worker makes next; None where there is nothing for it now.

        Its own run comes first, then one that nobody has begun, then one that another worker has prepared.
        """
        left = [pile for pile in self._piles.values() if pile.units]
        mine = [pile for pile in left if pile.owner == worker]
        unbegun = [pile for pile in left if pile.owner is None]
        others = [pile for pile in left if pile.owner not in (None, worker) and pile.is_shared]
        chosen = next(iter((*mine, *_longest_first(unbegun), *_longest_first(others))), None)
        if chosen is None:
            return None
        if chosen.owner is None:
            chosen.owner = worker
        return Hand(chosen.run, chosen.units.popleft(), chosen.facts if chosen.owner != worker else None)

    def prepared(self, run: RunKey, facts: Facts) -> None:
        """Let others take from a run whose witnesses were compared."""
        self._piles[run].facts = facts

    def lost(self, worker: int, hand: Hand[T] | None) -> None:
        """Take back what a worker that died did not begin; its runs are prepared again by somebody else."""
        for pile in self._piles.values():
            if pile.owner == worker:
                pile.owner = pile.facts = None
        if hand is not None and hand.checks:
            self._piles[hand.run].units.appendleft(hand.checks)


def _longest_first(piles: Iterable[_Pile[T]]) -> list[_Pile[T]]:
    return sorted(piles, key=lambda pile: len(pile.units), reverse=True)
