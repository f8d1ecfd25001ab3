"""How much faster a campaign is with two workers than with one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from frame_harness.base.record import Record
from frame_harness.bench.rows import Row, beside, timed
from frame_harness.campaigns.engine import Running, campaign
from frame_harness.campaigns.plan import Plan, Settings

TASKS = 16
TASK_S = 0.5
"""Of CPU time: a mutant, or a turn of a storm, takes longer."""
ROUNDS = 2


class BusySpan(Record, frozen=True, kw_only=True):
    """A payload, and a result: seconds of CPU time."""

    seconds: float


def compute(span: BusySpan) -> BusySpan:
    """Use so much CPU time, and nothing else."""
    until = time.process_time() + span.seconds
    while time.process_time() < until:
        sum(range(1000))
    return span


def measure() -> Iterator[Row]:
    """The same tasks on two workers of this machine, beside one worker."""
    with ExitStack() as stack:
        one, two = (_turns(stack, workers) for workers in (1, 2))
        yield beside(
            f"{TASKS} tasks that compute, 2 workers",
            two,
            "1 worker",
            one,
            rounds=ROUNDS,
            goal=">= 1.9",
            faster=True,
        )


def _turns(stack: ExitStack, workers: int) -> Callable[[], float]:
    plan = Plan("bench", compute, BusySpan, "bench")
    running = stack.enter_context(campaign(plan, Settings(workers, None, None, False, None)))
    numbers = itertools.count()
    return lambda: timed(lambda: _play(running, numbers))


def _play(running: Running[BusySpan, BusySpan], numbers: Iterator[int]) -> None:
    for _ in range(TASKS):
        running.submit(str(next(numbers)), BusySpan(seconds=TASK_S))
    list(running.results())
