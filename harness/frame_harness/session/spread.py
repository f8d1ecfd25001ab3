"""Has the runs of a check made by the workers of a campaign, each as a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import pytest

from frame_harness.archive.carried import add_carried
from frame_harness.base.errors import HarnessError
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.engine import Running
from frame_harness.campaigns.images import SentImage
from frame_harness.campaigns.plan import Plan
from frame_harness.image.compiler import Toolchain
from frame_harness.judge.evidence import Outcome, RunKey, Trouble
from frame_harness.machine.identity import identity_of
from frame_harness.session import results
from frame_harness.session.one_run import RunMade, RunTask, make_run
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import SessionRequest
from frame_harness.session.runs import only, words_of
from frame_harness.session.session import Session
from frame_harness.session.units import make

LIMIT_S: Final = 1800.0
"""Of CPU time, for one run: the longest takes a minute, and guests have limits of their own."""
Spread = Running[RunTask, RunMade]


def plan_of(request: SessionRequest, select: str) -> Plan[RunTask, RunMade]:
    """The campaign that a check is.

    Args:
        request: with all images.
        select: what `-k` takes.
    """
    elfs = tuple(image.elf for image in request.images.values())
    files = (*elfs, request.subject.path)
    return Plan("check", make_run, RunMade, _identity(request, select), files, LIMIT_S, is_final=is_final)


def is_final(made: RunMade) -> bool:
    """Whether nothing went wrong in a run but what its subject did: a full disk may be over next time."""
    outcomes = {one.outcome for one in (*made.results, *(one.result for one in made.met))}
    return Outcome.ERROR not in outcomes | {one.outcome for one in made.output.troubles}


def _identity(request: SessionRequest, select: str) -> str:
    """What the results of runs depend on, but for the package, which a folder of results names itself."""
    what = [
        request.subject.sha256, str(request.subject.path), request.frame_rs, select, request.accel,
        {profile: image.sha256 for profile, image in request.images.items()}, request.profiles,
        {name: identity_of(machine) for name, machine in request.machines.items()}, request.any_machine,
        sorted(request.only), request.measures_coverage,
        request.archive is not None, request.red,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


class SpreadRuns:
    """A plugin of pytest that hands out runs, in place of its own loop.

    Checks that read what the compiler makes of the subject are made here, where the compiler and the sources
    are, once their run came back: they need no guest, and workers need no compiler.

    Attributes:
        is_complete: each run came to a result.
    """

    def __init__(self, running: Spread, request: SessionRequest, select: str, toolchain: Toolchain) -> None:
        """Hand out nothing yet.

        Args:
            request: of the whole check, with all images.
            select: what `-k` takes.
            toolchain: that made the images.
        """
        self._running, self._select, self._toolchain = running, select, toolchain
        self._images = request.images
        self._told: set[str] = set()
        self.is_complete = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Have all checks made; None leaves it to pytest, which has nothing to make or says what is wrong."""
        if session.testsfailed or not session.items or session.config.option.collectonly:
            return None
        self._ours: Session = session.config.stash[SESSION]
        self._items: Mapping[RunKey, Sequence[pytest.Item]] = _by_run(session.items)
        self._add(toolchain=words_of(self._toolchain))
        for profile in dict.fromkeys(run.profile for run in self._items):
            self._ours.load(profile)
        waiting = {str(run): run for run in self._items}
        try:
            for run in waiting.values():
                self._running.submit(str(run), self._task(run))
            for done in self._running.results():
                self._take(waiting.pop(done.key), done.result)
            self.is_complete = self._running.progress.lost == 0
        except HarnessError as error:  # the campaign is over, and what came so far is evidence
            for run in waiting.values():
                self._add(not_evaluated(run, error.summary, error.next_step))
        return True

    def _task(self, run: RunKey) -> RunTask:
        request = self._ours.request
        sent = replace(
            request, images={}, archive=None, first=frozenset(),
            lines=self._ours.lines if request.measures(run) else None,
        )  # fmt: skip
        return RunTask(
            run=run, request=sent, image=SentImage.of(self._images[run.profile]), select=self._select,
            keeps=request.archive is not None,
        )  # fmt: skip

    def _take(self, run: RunKey, made: RunMade | Lost) -> None:
        if isinstance(made, Lost):
            self._add(lost(run, made))
            return
        for words in made.said:
            if words not in self._told:  # each run has to say it
                self._told.add(words)
                self._ours.say(words)
        self._ours.add_worker(made.output)
        for result in made.results:
            self._ours.take(result)
        for met in made.met:
            self._ours.take_on_the_way(met)
        self._keep(run, made)
        if made.facts is not None:
            self._ours.take_over(run, made.facts, boots=False)
            for item in filter(results.needs_compiler, self._items[run]):
                make([item])

    def _keep(self, run: RunKey, made: RunMade) -> None:
        archive = self._ours.request.archive
        if archive is None:
            return
        try:
            add_carried(archive, made.left)
        except (HarnessError, OSError) as error:
            self._add(notes=(f"{run}: what failing checks left is not kept: {error}",))

    def _add(self, *troubles: Trouble, toolchain: str = "", notes: tuple[str, ...] = ()) -> None:
        self._ours.add_worker(only(*troubles, toolchain=toolchain, notes=notes))


def _by_run(items: Sequence[pytest.Item]) -> dict[RunKey, list[pytest.Item]]:
    """The checks of each run, those of the longest one first: it decides when all is over."""
    found: dict[RunKey, list[pytest.Item]] = {}
    for item in items:
        run = results.planned_run(item)
        if run is None:
            raise AssertionError(f"{item.nodeid} belongs to no run, so nobody would make it")
        found.setdefault(run, []).append(item)
    return dict(sorted(found.items(), key=lambda one: -len(one[1])))


def lost(run: RunKey, task: Lost) -> Trouble:
    """Say of a run whose task came to no result that it was not evaluated, and why."""
    return not_evaluated(run, task.words, "go on with --resume: its task is done again")


def not_evaluated(run: RunKey, why: str, todo: str) -> Trouble:
    """Say that a run was not evaluated, and why."""
    return Trouble(what="run", message=f"not evaluated: {why}", run=run, next=todo)
