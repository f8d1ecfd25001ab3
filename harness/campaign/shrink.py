"""Makes a failing history as short as it can be, then each of its steps as plain as it can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.campaign.history import Failure
from harness.campaign.steps import Step

Play = Callable[[Sequence[Step]], Failure | None]


def shrink(failure: Failure, play: Play) -> Failure:
    """The shortest history found that breaks the same clause.

    Args:
        play: carries a history out from the state after boot.
    """
    best = failure
    while True:
        shorter = _plainer(_without(best, play), play)
        if shorter.steps == best.steps:
            return best
        best = shorter


def _better(steps: Sequence[Step], clause: str, play: Play) -> Failure | None:
    failure = play(steps)
    return failure if failure is not None and failure.clause == clause else None


def _without(failure: Failure, play: Play) -> Failure:
    """Leave out halves, quarters and so on, from the end: what comes last depends on least."""
    best, size = failure, max(len(failure.steps) // 2, 1)
    while True:
        end = len(best.steps)
        while end > 0:
            first = max(end - size, 0)
            kept = (*best.steps[:first], *best.steps[end:])
            found = _better(kept, best.clause, play) if kept else None
            if found is not None and len(found.steps) < len(best.steps):
                best = found
            end = min(first, len(best.steps))
        if size == 1:
            return best
        size //= 2


def _plainer(failure: Failure, play: Play) -> Failure:
    best = failure
    at = 0
    while at < len(best.steps):
        for step in best.steps[at].simpler():
            found = _better((*best.steps[:at], step, *best.steps[at + 1 :]), best.clause, play)
            if found is not None and len(found.steps) <= len(best.steps):
                best = found
                break
        else:
            at += 1
    return best
