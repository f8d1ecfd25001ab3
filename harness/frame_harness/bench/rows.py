"""What a measurement is, with the way it is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement beside its floor.

    Attributes:
        value, floor: medians, in `unit`.
        ratio: the median of the ratios of each round, which a drift of the machine does not change.
        goal: such as `<= 2.0` or `>= 200`; empty where there is none.
    """

    name: str
    value: float
    floor_name: str
    floor: float
    unit: str
    ratio: float
    goal: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the ratio reaches the goal; None without one."""
        if not self.goal:
            return None
        relation, limit = self.goal.split()
        return self.ratio <= float(limit) if relation == "<=" else self.ratio >= float(limit)


def timed(action: Callable[[], object]) -> float:
    """Seconds on the monotonic clock."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def beside(
    name: str,
    action: Callable[[], float],
    floor_name: str,
    floor: Callable[[], float],
    *,
    rounds: int,
    goal: str = "",
    faster: bool = False,
) -> Row:
    """Time an action and its floor in turns, after one round of each that does not count.

    Args:
        action, floor: return the seconds they took.
        faster: the ratio says how many times faster than the floor the action is.
    """
    action()
    floor()
    pairs = [(action(), floor()) for _ in range(rounds)]
    ratios = [b / a if faster else a / b for a, b in pairs]
    value, low = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(name, value * 1000, floor_name, low * 1000, "ms", statistics.median(ratios), goal)
