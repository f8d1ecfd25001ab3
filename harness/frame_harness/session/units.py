"""Which checks stay together, and how those are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import pytest

from frame_harness.judge.evidence import CheckInRun
from frame_harness.session import results
from frame_harness.session.schedule import Unit


def units_of(items: Iterable[pytest.Item], first: Collection[CheckInRun]) -> list[Unit[int]]:
    """Checks by their places; those that share a fixture of their module stay together.

    These come first: they take longest, and a worker should not begin with one when the others are done.

    Args:
        first: checks that are made before all others.
    """
    together: dict[object, list[tuple[int, pytest.Item]]] = {}
    alone = []
    for place, item in enumerate(items):
        if results.shares_a_fixture(item):
            key = results.planned_run(item), item.path, results.is_one_of(item, first)
            together.setdefault(key, []).append((place, item))
        else:
            alone.append([(place, item)])
    return [
        Unit(
            results.planned_run(unit[0][1]),
            tuple(place for place, _ in unit),
            comes_first=results.is_one_of(unit[0][1], first),
        )
        for unit in (*together.values(), *alone)
    ]


def make(items: Sequence[pytest.Item], begin: Callable[[int], None] = lambda _: None) -> None:
    """Make checks that stay together, one after the other; what they share ends behind the last one.

    Args:
        begin: is told the place of each before it is made.
    """
    for place, item in enumerate(items):
        begin(place)
        following = items[place + 1] if place + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
