"""Finds the version of a history that brought a fault, in few questions; a function of values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Shown(StrEnum):
    """What a version says of a fault when its case is played on it."""

    BAD = "bad"
    GOOD = "good"
    UNKNOWN = "unknown"  # it cannot be built, cannot be judged, or ends the case by something else


@dataclass(frozen=True)
class FollowAnswer:
    """Between which versions a fault came. Versions are numbered from 0, the oldest."""

    good: int | None
    """The newest version known not to have it; None where none is known."""
    bad: int | None
    """The oldest version behind `good` known to have it; None where the newest does not show it."""


def next_step(count: int, seen: Mapping[int, Shown]) -> tuple[int, ...] | FollowAnswer:
    """Return the versions to play next, or the answer when no question is left.

    Both ends come first. Then the middle of what is between the newest good version and the first bad one
    behind it. So `bad` is where the fault came for the last time, as far as anybody looked. A version that
    tells nothing is passed over, as `git bisect skip` does: of those that were not asked yet, the longest row
    is tried in its middle, until there is none. Every version that an answer names was played.

    Where the oldest version tells nothing, it mostly has another interface: see `_to_where_it_begins`.

    Args:
        count: versions in all, at least one.
        seen: what some of them said so far.
    """
    ends = tuple(at for at in dict.fromkeys((count - 1, 0)) if at not in seen)
    if ends:
        return ends
    if seen[count - 1] is not Shown.BAD:
        return FollowAnswer(None, None)
    good = max((at for at, shown in seen.items() if shown is Shown.GOOD), default=None)
    low = -1 if good is None else good
    bad = min(at for at, shown in seen.items() if shown is Shown.BAD and at > low)
    if good is None:
        return _to_where_it_begins(bad, seen) or FollowAnswer(None, bad)
    row = _longest([at for at in range(good + 1, bad) if at not in seen])
    return (row[len(row) // 2],) if row else FollowAnswer(good, bad)


def _to_where_it_begins(bad: int, seen: Mapping[int, Shown]) -> tuple[int, ...]:
    """What to play while no good version is known: to where versions begin to tell anything, in few plays.

    All that tell nothing need not be played for that. Some further back are, in case these are only a gap.
    """
    if bad == 0:
        return ()
    silent = max(at for at, shown in seen.items() if shown is Shown.UNKNOWN and at < bad)
    if bad - silent > 1:
        return ((silent + bad) // 2,)
    back = (bad - (1 << power) for power in range(1, bad.bit_length()))
    return tuple(at for at in back if at > 0 and at not in seen)


def _longest(numbers: Sequence[int]) -> Sequence[int]:
    """The longest row of numbers that follow each other; of equal ones the last."""
    best: list[int] = []
    row: list[int] = []
    for number in numbers:
        row = [*row, number] if row and number == row[-1] + 1 else [number]
        if len(row) >= len(best):
            best = row
    return best
