"""Runs a campaign: tasks in, results out, in the order in which they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic

from frame_harness.base.commands import Step
from frame_harness.campaigns.done import Done
from frame_harness.campaigns.files import digest_of, known
from frame_harness.campaigns.journal import Journal
from frame_harness.campaigns.plan import P, Plan, R, Settings

__all__ = ["Done", "Plan", "Running", "Settings", "campaign"]


@contextmanager
def campaign(plan: Plan[P, R], settings: Settings) -> Iterator[Running[P, R]]:
    """Have workers for the time of a block; they are gone behind it, with all their guests.

    Raises:
        UsageError: the folder holds another campaign, or is in use.
        HarnessError: there are no workers, or they are of another version.
    """
    journal = Journal(settings.folder, plan)
    files = {digest_of(path): path for path in plan.files}
    with journal.open(resume=settings.resume), known(files), Step(plan.name, settings.say) as step:
        yield Running(plan, journal, step)


class Running(Generic[P, R]):
    """A campaign that takes tasks."""

    def __init__(self, plan: Plan[P, R], journal: Journal[R], step: Step) -> None:
        self._plan, self._journal, self._step = plan, journal, step
        self._keys: set[str] = set()
        self._kept: deque[str] = deque()
        self._waiting: deque[tuple[str, P]] = deque()

    def submit(self, key: str, payload: P, *, needs_compiler: bool = False) -> None:  # noqa: ARG002
        """Have a task done, unless its result is kept.

        Args:
            key: of this task alone, and the same each time; the result is kept under it.
            needs_compiler: only workers with a Rust toolchain can do it.
        """
        if key in self._keys:
            raise AssertionError(f"two tasks with the key {key}")
        self._keys.add(key)
        if key in self._journal.kept:
            self._kept.append(key)
        else:
            self._waiting.append((key, payload))

    def results(self) -> Iterator[Done[R]]:
        """Yield what becomes of each task, kept results first; meanwhile more may be submitted.

        Raises:
            HarnessError: the work raised it.
        """
        while self._kept or self._waiting:
            if self._kept:
                key = self._kept.popleft()
                yield Done(key, self._journal.kept[key])
                continue
            key, payload = self._waiting.popleft()
            done = Done(key, self._plan.work(payload))
            self._journal.keep(done)
            yield done
