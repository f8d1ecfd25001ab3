"""Makes one request out of many of the same sort, before a case is shortened step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.steps import Alloc, CaseStep, Fill, Free, FreeOne, Poison, WrongFree

MANY = 6
"""So many requests of one sort are tried as one that takes all there is."""


def filled(failure: Failure, play_again: Callable[[Sequence[CaseStep]], Failure | None]) -> Failure:
    """The same with one request for many blocks in place of many for one each, where that shows it, too."""
    sorts = Counter((step.order, step.kind, step.zone) for step in failure.steps if isinstance(step, Alloc))
    for (order, kind, zone), count in sorts.most_common():
        if count < MANY:
            break
        of_sort = [
            step.name
            for step in failure.steps
            if isinstance(step, Alloc) and (step.order, step.kind, step.zone) == (order, kind, zone)
        ]
        name, others = of_sort[0], set(of_sort[1:])
        steps: list[CaseStep] = []
        for step in failure.steps:
            if isinstance(step, Alloc) and step.name in of_sort:
                steps += [Fill(name, order, kind, zone)] if step.name == name else []
            elif isinstance(step, Free) and step.name in of_sort:
                steps.append(FreeOne(name))
            elif not (isinstance(step, Poison | WrongFree) and step.name in others):
                steps.append(step)
        found = play_again(steps)
        if found is not None and found.key == failure.key:
            return found
    return failure
