"""What the processes of a session saw, made into evidence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from frame_harness.base.record import Record
from frame_harness.judge.evidence import (
    CheckInRun,
    CheckResult,
    Evidence,
    Outcome,
    PlannedCheck,
    RunKey,
    Trouble,
)
from frame_harness.session.invariant_results import invariant_results
from frame_harness.session.request import SessionRequest, info_of
from frame_harness.session.run import Ledger, merge, unhandled
from frame_harness.session.runs import NO_PREFLIGHT, RAISED_BY_TESTS, WorkerOutput, changes


class Met(Record, frozen=True, kw_only=True):
    """A result that a check brought about beside its own, of a clause that is not its own to judge.

    `number` is the place of that check in the plan, the same in every process.
    """

    number: int
    result: CheckResult


@dataclass
class SessionSeen:
    """What a session saw, in the process that hears of all of it.

    Attributes:
        selection: what `-k` was.
        outputs: of every process.
        results: of the checks that came to their end.
        on_the_way: what checks met of other clauses, each once a run: what the first check in the plan met.
        interrupted: somebody stopped the session.
    """

    request: SessionRequest
    selection: str
    outputs: list[WorkerOutput] = field(default_factory=list)
    results: list[CheckResult] = field(default_factory=list)
    on_the_way: dict[CheckInRun, Met] = field(default_factory=dict)
    interrupted: bool = False
    _began: float = field(default_factory=time.monotonic)

    def take_on_the_way(self, met: Met) -> None:
        """Have what a check met of a clause that is not its own to judge."""
        known = self.on_the_way.setdefault(met.result.key, met)
        if met.number < known.number:
            self.on_the_way[met.result.key] = met

    @property
    def ledgers(self) -> list[Ledger]:
        """What each process saw of each run."""
        return [ledger for output in self.outputs for ledger in output.ledgers]

    @property
    def _troubles(self) -> list[Trouble]:
        return [trouble for output in self.outputs for trouble in output.troubles]

    def of_the_plan(self) -> Evidence:
        """Everything, measured by the checks that were planned."""
        # Every process collects the same checks; the others make up for one that died before it could say so.
        planned = max((output.planned for output in self.outputs), key=len, default=())
        if self.interrupted and not planned:  # the workers were ended before they could say
            planned = tuple(map(_plan_of, self.results))
        # Whoever made them, and in whatever order they came: two runs of the same checks read the same.
        place = {(one.run, one.check): number for number, one in enumerate(planned)}
        results = sorted(self.results, key=lambda one: place.get((one.run, one.check), len(place)))
        return self._evidence(planned, planned, self.ledgers, results, self._troubles)

    def of_the_runs(self) -> Evidence:
        """Evidence of tests that were not planned, without what failed the tests themselves.

        That are runs whose preflight broke off, and guests that could not be had at all.
        """
        broken = {trouble.run for trouble in self._troubles if trouble.what == NO_PREFLIGHT}
        ledgers = [unhandled(ledger) for ledger in self.ledgers if ledger.run not in broken]
        others = [trouble for trouble in self._troubles if trouble.what not in RAISED_BY_TESTS]
        return self._evidence(ledgers, (), ledgers, (), others)

    def _evidence(
        self,
        needed: Iterable[PlannedCheck | Ledger],
        planned: Sequence[PlannedCheck],
        ledgers: Sequence[Ledger],
        results: Sequence[CheckResult],
        troubles: Iterable[Trouble],
    ) -> Evidence:
        """Put together what counts; `needed` are the runs that had to happen."""
        keys = tuple(dict.fromkeys(one.run for one in needed))
        found = [result for key in keys for result in self._violated(key)]
        plan, results = (*planned, *map(_plan_of, found)), (*results, *found)
        runs = []
        for key in keys:
            parts = [ledger for ledger in ledgers if ledger.run == key]
            if parts := parts or self._never_needed(key, [one.check for one in planned if one.run == key]):
                toolchain = next((output.toolchain for output in self.outputs if output.toolchain), "")
                runs.append(merge(parts, self.request.subject.sha256, toolchain))
        return Evidence(
            subject=info_of(self.request.subject),
            planned_runs=keys,
            plan=plan,
            runs=tuple(runs),
            checks=results,
            errors=(*dict.fromkeys(troubles), *self._changed_files()),
            lacks=tuple(dict.fromkeys(name for output in self.outputs for name in output.lacks)),
            selection=self.selection,
            duration_s=time.monotonic() - self._began,
            interrupted=self.interrupted,
        )

    def _violated(self, key: RunKey) -> list[CheckResult]:
        """What was found broken without a check of it: by preflight, in each process; on the way."""
        violated = {one.name: one for part in self.ledgers if part.run == key for one in part.violated}
        met = sorted(self.on_the_way.values(), key=lambda one: one.number)
        on_the_way = [one.result for one in met if one.result.run == key]
        again = partial(self.request.check_again, key)
        contract = self.request.subject.contract
        return [*invariant_results(contract, key, violated.values(), again), *on_the_way]

    def _never_needed(self, key: RunKey, planned: Sequence[str]) -> list[Ledger]:
        """The blank record of a run of which none is left: each check was skipped, or it was interrupted."""
        outcomes = {result.check: result.outcome for result in self.results if result.run == key}
        if not self.interrupted and any(outcomes.get(check) is not Outcome.SKIPPED for check in planned):
            return []
        return [Ledger(run=key, image_sha256="", build_id="", subject_sha256=self.request.subject.sha256)]

    def _changed_files(self) -> tuple[Trouble, ...]:
        """Say which files are not any more what they were at the beginning, or when they were compiled."""
        others = dict.fromkeys(one for output in self.outputs for one in output.changed)
        return (*changes(self.request.subject), *others)


def _plan_of(result: CheckResult) -> PlannedCheck:
    """The plan of what came to its end without one."""
    return PlannedCheck(run=result.run, check=result.check, clauses=result.clauses)
