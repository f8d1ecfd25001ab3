"""Judges the builds of a core at the same time, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from frame_harness.judge.evidence import Trouble
from frame_harness.memory_core.children import BuildJob, in_processes
from frame_harness.memory_core.worker import Judged, Task, judge_build


@dataclass(frozen=True)
class Outcomes:
    """What became of the builds."""

    judged: tuple[Judged, ...]
    troubles: tuple[Trouble, ...]


def judge_builds(tasks: Iterable[Task], say: Callable[[str, str], None]) -> Outcomes:
    """Judge each task as soon as it comes, while the next is still being made.

    Args:
        tasks: made one by one, such as by a build.
        say: is told the name of a build, and how far it is.
    """
    jobs = (BuildJob(str(task.key), task.key, partial(judge_build, task)) for task in tasks)
    ended = [outcome for _, outcome in in_processes(jobs, Judged, say)]
    return Outcomes(
        tuple(one for one in ended if isinstance(one, Judged)),
        tuple(one for one in ended if isinstance(one, Trouble)),
    )
