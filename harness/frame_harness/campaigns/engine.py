"""Runs a campaign: tasks in, results out, in the order in which they come."""

from __future__ import annotations

import pickle
import shlex
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic, Protocol

import msgspec

from frame_harness.base.commands import SlowStep
from frame_harness.base.digests import sha256_of
from frame_harness.base.text import plural
from frame_harness.campaigns import files
from frame_harness.campaigns.dask_settings import load_dask
from frame_harness.campaigns.done import DoneTask, Lost
from frame_harness.campaigns.files import known
from frame_harness.campaigns.journal import Journal
from frame_harness.campaigns.plan import P, Plan, R, Settings
from frame_harness.campaigns.tasks import Came, Raised, TaskOutcome, Work

__all__ = ["DoneTask", "Lost", "Plan", "Running", "Settings", "campaign"]

TRIES: Final = 2
"""A process that dies, hangs or runs out of memory may do so for what else the machine does."""


class Executor(Protocol):
    """Takes tasks, gives back what becomes of them."""

    @property
    def room(self) -> int:
        """How many more tasks can be started without waiting in line for long."""
        ...

    def start(self, name: str, payload: bytes, *, needs_compiler: bool) -> None:
        """Begin a task; no name comes twice."""
        ...

    def offer(self, sha256: str, path: Path) -> None:
        """Let tasks find a file by the sum of its bytes."""
        ...

    def ended(self) -> tuple[str, TaskOutcome]:
        """Wait until a task ends; return its name with its outcome."""
        ...


class InThisProcess:
    """One task after the other; one that dies or hangs takes the command with it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: deque[tuple[str, bytes]] = deque()

    @property
    def room(self) -> int:
        """One, or nothing while a task waits."""
        return 1 - len(self._waiting)

    def start(self, name: str, payload: bytes, *, needs_compiler: bool) -> None:  # noqa: ARG002
        """Put a task behind those that wait; it is done by `ended`, whatever it needs."""
        self._waiting.append((name, payload))

    def offer(self, sha256: str, path: Path) -> None:
        """Remember where a file lies, without reading it."""
        files.remember(sha256, path)

    def ended(self) -> tuple[str, TaskOutcome]:
        """Do the task that waits longest; what it raises is raised, IndexError where none waits."""
        name, payload = self._waiting.popleft()
        return name, Came(msgspec.json.encode(self._work.function(pickle.loads(payload))))


class CampaignProgress:
    """Counts what became of tasks."""

    def __init__(self, *, open_ended: bool = False, has_findings: bool = True) -> None:
        """Begin to count.

        Args:
            open_ended: nobody knows how many tasks are still to come.
            has_findings: a result may be one.
        """
        self._open_ended, self._has_findings = open_ended, has_findings
        self.submitted = self.kept = self.done = self.findings = self.lost = self.again = 0
        self._began = time.monotonic()

    @property
    def words(self) -> str:
        """Done, rate, findings, time left."""
        ended = self.kept + self.done
        of_all = "" if self._open_ended else f"{ended} of "
        found = [of_all + plural(ended if self._open_ended else self.submitted, "task")]
        took_s = time.monotonic() - self._began
        if self.done and took_s > 0:
            rate = self.done / took_s
            found.append(f"{rate:.3g} a second" if rate >= 1 else f"{rate * 60:.3g} a minute")
            if self._has_findings:
                found.append(plural(self.findings, "finding"))
            if not self._open_ended:
                found.append(f"{_time((self.submitted - ended) / rate)} left")
        if self.again:
            found.append(f"{self.again} begun again")
        if self.lost:
            found.append(f"{self.lost} lost")
        return ", ".join(found)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def require_cluster(settings: Settings) -> None:
    """Refuse an address where no scheduler answers, before any work is done for a campaign.

    Raises:
        UsageError: that is no address.
        MissingToolError: dask is not installed.
        HarnessError: nobody answers there.
    """
    if settings.scheduler is not None:
        load_dask()
        from frame_harness.campaigns.cluster import require_answer  # noqa: PLC0415  an extra of the package

        require_answer(settings.scheduler)


@contextmanager
def campaign(plan: Plan[P, R], settings: Settings) -> Iterator[Running[P, R]]:
    """Have workers for the time of a block; they are gone behind it, with all their guests.

    Raises:
        UsageError: the folder holds another campaign, or is in use.
        MissingToolError: dask is not installed.
        HarnessError: there are no workers, or they are of another version.
    """
    journal = Journal(settings.folder, plan)
    files = {sha256_of(path): path for path in plan.files}
    with ExitStack() as stack:
        if settings.folder is not None:
            stack.enter_context(journal.open(resume=settings.resume))
            if settings.say is not None:  # not before: there is nothing to go on with
                again = shlex.quote(str(settings.folder))
                settings.say(f"results: {settings.folder}; if it is stopped, go on with --resume {again}")
        stack.enter_context(known(files))
        executor = _executor(plan, settings, files, stack)
        step = stack.enter_context(SlowStep(plan.name, settings.say))
        yield Running(plan, journal, executor, step)


def _executor(
    plan: Plan[Any, Any], settings: Settings, files: Mapping[str, Path], stack: ExitStack
) -> Executor:
    work = Work(plan.work, {sha256: str(path.resolve()) for sha256, path in files.items()}, plan.limit_s)
    if settings.workers == 0 and settings.scheduler is None:
        return InThisProcess(work)
    load_dask()
    from frame_harness.campaigns.cluster import (  # noqa: PLC0415  an extra of the package
        existing_cluster,
        local_cluster,
        require_version,
    )
    from frame_harness.campaigns.on_cluster import OnCluster  # noqa: PLC0415

    if settings.scheduler is None:
        client = stack.enter_context(local_cluster(settings.workers, settings.say))
        require_version(client)
        executor = OnCluster(client, "of this machine", shares_files=True)
        stack.enter_context(executor.working(work, {}))
        return executor
    client = stack.enter_context(existing_cluster(settings.scheduler, settings.say))
    require_version(client)
    executor = OnCluster(client, settings.scheduler, shares_files=False)
    stack.enter_context(executor.working(work, files))
    return executor


@dataclass(frozen=True)
class _Task:
    payload: bytes
    needs_compiler: bool
    tries: int = 1


class Running(Generic[P, R]):
    """A campaign that takes tasks."""

    def __init__(self, plan: Plan[P, R], journal: Journal[R], executor: Executor, step: SlowStep) -> None:
        self._plan, self._journal, self._executor, self._step = plan, journal, executor, step
        self._tasks: dict[str, _Task] = {}
        self._names: dict[str, str] = {}
        self._keys: set[str] = set()
        self._kept: deque[str] = deque()
        self._waiting: deque[str] = deque()
        self.progress: Final = CampaignProgress(
            open_ended=plan.open_ended, has_findings=plan.is_finding is not None
        )

    def submit(self, key: str, payload: P, *, needs_compiler: bool = False) -> None:
        """Have a task done, unless its result is kept.

        Args:
            key: of this task alone, and the same each time; the result is kept under it.
            needs_compiler: only workers with a Rust toolchain can do it.
        """
        if key in self._keys:
            raise AssertionError(f"two tasks with the key {key}")
        self._keys.add(key)
        self.progress.submitted += 1
        if key in self._journal.kept:
            self._kept.append(key)
        else:
            self._tasks[key] = _Task(pickle.dumps(payload), needs_compiler)
            self._waiting.append(key)
            self._start_some()

    def offer(self, path: Path) -> str:
        """Let workers ask for a file that came up only now; return its sha256."""
        sha256 = sha256_of(path)
        self._executor.offer(sha256, path)
        return sha256

    @property
    def room(self) -> int:
        """How many more tasks workers could begin now; who makes tasks one by one need not make more."""
        return self._executor.room - len(self._waiting) - len(self._kept)

    def results(self) -> Iterator[DoneTask[R]]:
        """Yield what becomes of each task, kept results first; meanwhile more may be submitted.

        Raises:
            HarnessError: the work raised it.
        """
        while self._kept or self._tasks:
            if self._kept:
                done = DoneTask(key := self._kept.popleft(), self._journal.kept[key])
                self.progress.kept += 1
            else:
                self._start_some()
                found = self._taken(*self._executor.ended())
                if found is None:
                    continue
                done = found
                self._journal.keep(done)
                self.progress.done += 1
            self._count(done)
            yield done

    def _start_some(self) -> None:
        while self._waiting and self._executor.room > 0:
            key = self._waiting.popleft()
            task = self._tasks[key]
            name = f"{len(self._names)}-{task.tries}"
            self._names[name] = key
            self._executor.start(name, task.payload, needs_compiler=task.needs_compiler)

    def _taken(self, name: str, outcome: TaskOutcome) -> DoneTask[R] | None:
        """Return what an outcome means; None where the task is begun again."""
        key = self._names[name]
        task = self._tasks.pop(key)
        if isinstance(outcome, Raised):
            raise outcome.again()
        if isinstance(outcome, Came):
            return DoneTask(key, msgspec.json.decode(outcome.result, type=self._plan.result))
        if task.tries < TRIES:
            self._tasks[key] = replace(task, tries=task.tries + 1)
            self._waiting.appendleft(key)
            self.progress.again += 1
            return None
        return DoneTask(key, Lost(reason=outcome.reason, detail=outcome.detail))

    def _count(self, done: DoneTask[R]) -> None:
        if isinstance(done.result, Lost):
            self.progress.lost += 1
        elif self._plan.is_finding is not None and self._plan.is_finding(done.result):
            self.progress.findings += 1
        self._step.at(self.progress.words)
