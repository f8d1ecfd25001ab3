"""Makes a failing history as short as it can be, then each of its steps as plain as it can be."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

TRADED_AT_MOST = 10
"""Steps of a history in which every pair is tried."""


class StepLike(Protocol):
    """What one step may become."""

    def simpler(self) -> Iterable[Any]: ...

    def instead(self) -> Iterable[Any]: ...


class PlainStep:
    """A step that has no simpler form, nor another one in its place, but where it says so itself."""

    def simpler(self) -> Iterable[Any]:
        """Give the same step in simpler forms, the simplest first."""
        return ()

    def instead(self) -> Iterable[Any]:
        """Give steps that may stand in for it, so that another step is not needed any more."""
        return ()


class FailureLike(Protocol):
    """A history that breaks a clause; its last step is at fault, or it shows at the end."""

    @property
    def steps(self) -> Sequence[StepLike]: ...


F = TypeVar("F", bound=FailureLike)
PlaySteps = Callable[[Sequence[Any]], F | None]


def shrink(failure: F, play: PlaySteps[F], key: Callable[[F], Hashable], *, by_chance: bool = False) -> F:
    """The shortest history found that shows the same.

    Args:
        play: carries a history out from the state after boot.
        by_chance: the same history may show something else the next time; otherwise none is played twice.
        key: what a shorter history has to have in common with the failure, such as the clause.
    """
    wanted = key(failure)

    def shown(steps: tuple[Any, ...]) -> F | None:
        found = play(steps)
        return found if found is not None and key(found) == wanted else None

    tried = shown if by_chance else cache(shown)

    def played(steps: Sequence[Any]) -> F | None:
        return tried(tuple(steps))

    best = failure
    while True:
        shorter = _traded(_plainer(_without(best, played), played), played)
        if shorter.steps == best.steps:
            return best
        best = shorter


def _without(failure: F, play: PlaySteps[F]) -> F:
    """Leave out halves, quarters and so on, from the end: what comes last depends on least."""
    best, size = failure, max(len(failure.steps) // 2, 1)
    while True:
        end = len(best.steps)
        while end > 0:
            first = max(end - size, 0)
            kept = (*best.steps[:first], *best.steps[end:])
            found = play(kept) if kept else None
            if found is not None and len(found.steps) < len(best.steps):
                best = found
            end = min(first, len(best.steps))
        if size == 1:
            return best
        size //= 2


def _traded(failure: F, play: PlaySteps[F]) -> F:
    """Leave out one step of a short history by doing another one differently."""
    steps = failure.steps
    if len(steps) > TRADED_AT_MOST:
        return failure
    for dropped in range(len(steps)):
        for at, step in enumerate(steps):
            for other in step.instead() if at != dropped else ():
                changed = [*steps[:at], other, *steps[at + 1 :]]
                del changed[dropped]
                found = play(changed)
                if found is not None and len(found.steps) < len(steps):
                    return found
    return failure


def _plainer(failure: F, play: PlaySteps[F]) -> F:
    best = failure
    at = 0
    while at < len(best.steps):
        for step in best.steps[at].simpler():
            found = play((*best.steps[:at], step, *best.steps[at + 1 :]))
            if found is not None and len(found.steps) <= len(best.steps):
                best = found
                break
        else:
            at += 1
    return best
