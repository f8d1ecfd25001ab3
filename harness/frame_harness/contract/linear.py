"""Whether what several CPUs saw could have happened one operation after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")


@dataclass(frozen=True)
class LinearCall:
    """One operation of one CPU."""

    cpu: int
    name: str
    began: int
    ended: int
    """`began`, `ended`: on a clock that all CPUs share; the operation took effect somewhere between."""
    result: int
    """What it returned."""


@dataclass(frozen=True)
class Sequential(Generic[State]):
    """How one operation after the other would behave."""

    apply: Callable[[State, LinearCall], tuple[State, int]]
    """The state after a call, the result that it must have returned; the state given stays as it is."""
    key: Callable[[State], Hashable]
    """Tells states apart."""


def linearization(
    histories: Sequence[Sequence[LinearCall]],
    start: State,
    rules: Sequential[State],
    ends_well: Callable[[State], bool],
) -> list[LinearCall] | None:
    """Return one order that explains every result, None when there is none.

    The order keeps that of each CPU, and never puts a call before one that had ended when it began (Herlihy,
    Wing: "Linearizability: a correctness condition for concurrent objects", 1990). Searched depth first; what
    was a dead end once, the same calls done, the same state, is not entered again.

    Args:
        histories: of each CPU, in its own order.
        ends_well: whether the state that is left is the one that was found.
    """
    dead: set[tuple[tuple[int, ...], Hashable]] = set()
    stack: list[tuple[tuple[int, ...], State, list[LinearCall]]] = [(tuple(0 for _ in histories), start, [])]
    while stack:
        done, state, order = stack.pop()
        place = (done, rules.key(state))
        if place in dead:
            continue
        dead.add(place)
        pending = [
            (cpu, history[n])
            for cpu, (history, n) in enumerate(zip(histories, done, strict=True))
            if n < len(history)
        ]
        if not pending and ends_well(state):
            return order
        earliest_end = min((call.ended for _, call in pending), default=0)
        for cpu, call in pending:
            if call.began > earliest_end:
                continue
            after, result = rules.apply(state, call)
            if result == call.result:
                stack.append((tuple(n + (cpu == each) for each, n in enumerate(done)), after, [*order, call]))
    return None
