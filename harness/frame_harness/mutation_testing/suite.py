"""Makes the checks of the suite on one mutant, one run after the other, until something differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.contract.functions import Functions
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, Evidence, Level, Outcome, RunKey, Witness, decode
from frame_harness.judge.verdict import judge
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.order import Candidate, in_order
from frame_harness.mutation_testing.records import How, Kill
from frame_harness.mutation_testing.reference import Reference, kill_by_reasons
from frame_harness.session import results
from frame_harness.session.invariant_results import invariant_results
from frame_harness.session.plugin import SESSION
from frame_harness.session.request import SessionRequest
from frame_harness.session.session import RESULT, SEEN
from frame_harness.session.suite import run_suite

_OF_THE_COMPILER: Final = frozenset({Level.DECLARATION, Level.COMPILED})
"""Levels of checks that read what the compiler says, and look at no guest of their own."""
STORMS_AGAIN: Final = 3
"""So often at most a storm is made again that told a mutant from its subject."""
_NOT_MADE: Final = "what differs was found"


@dataclass
class MutantSeen:
    """What checks of a mutant showed.

    Attributes:
        kill: the first outcome that differs from the subject's, and does so again where a storm found it.
        doubtful: what a storm found once and not again. A race that the subject has, too, kills no mutant.
        error: what went wrong in the harness, in words.
        checks: how many were made.
        last: the one of them that was made last.
    """

    kill: Kill | None = None
    doubtful: list[Kill] = field(default_factory=list)
    error: str = ""
    checks: int = 0
    last: str = ""


@dataclass
class Suite:
    """The checks of a frame module, for a mutant of it.

    Attributes:
        request: what `check` would ask for, of the subject that the mutant was made of.
        reference: what these checks said of that subject.
        only: the check to make; empty means all of them.
        made: checks that are not made again.
    """

    request: SessionRequest
    reference: Reference
    mutant: Mutant
    only: str = ""
    seen: MutantSeen = field(default_factory=MutantSeen)
    made: set[tuple[RunKey, str]] = field(default_factory=set)

    def make(self, runs: Sequence[RunKey], images: Mapping[str, Image], alike: Collection[str] = ()) -> None:
        """Make all checks of some runs, or those up to the first that tells the mutant from the subject.

        Args:
            images: of the mutant, by profile.
            alike: profiles whose machine code is the subject's. Of these only what the compiler says is
                looked at: no guest can tell the two from each other.
        """
        self._make(runs, images, alike)
        while (kill := self.seen.kill) is not None and kill.by_storm and not self._shows_again(kill, images):
            self.seen.doubtful.append(kill)
            self.seen.kill = None
            self._make(runs, images, alike)

    def _shows_again(self, kill: Kill, images: Mapping[str, Image]) -> bool:
        """Whether one of some storms more tells the mutant from the subject; what went wrong is kept."""
        if kill.run is None:
            raise HarnessError(kill.check, detail="a check that is made in no run found something")
        for _ in range(STORMS_AGAIN):
            alone = Suite(self.request, self.reference, self.mutant, only=self.seen.last)
            alone._make([kill.run], images, ())
            self.seen.checks += alone.seen.checks
            if alone.seen.kill is not None:
                return True
            if not alone.seen.checks:
                not_made = f"{alone.only}: not made again, so that nobody knows what it found"
                alone.seen.error = alone.seen.error or not_made
            if alone.seen.error:
                self.seen.error = self.seen.error or alone.seen.error
                break
        return False

    def _make(self, runs: Sequence[RunKey], images: Mapping[str, Image], alike: Collection[str]) -> None:
        subject = next(iter(images.values())).subject
        profiles = tuple(dict.fromkeys(run.profile for run in runs))
        named = {run.machine for run in runs}
        machines = {key: one for key, one in self.request.machines.items() if one.name in named}
        asked = replace(
            self.request, subject=subject, profiles=profiles, machines=machines or self.request.machines,
            images=images, evidence=True,
        )  # fmt: skip
        hunt = _Hunt(self, frozenset(runs), frozenset(alike))
        status, session = run_suite(asked, listener=hunt, here=True)
        nothing_to_make = status == pytest.ExitCode.NO_TESTS_COLLECTED and not hunt.troubles
        if self.seen.kill is not None or nothing_to_make:
            return
        if hunt.troubles or session is None or session.evidence is None:
            self.seen.error = "; ".join(hunt.troubles) or f"pytest ended with status {status}, no evidence"
        elif session.interrupted:
            raise KeyboardInterrupt
        elif not self.only:
            self._judge(session.evidence)

    def asks_for(self, run: RunKey, check: str) -> bool:
        """Whether a check is to be made, as far as its name tells."""
        return (run, check) not in self.made and self.only in ("", check)

    def _judge(self, evidence: Evidence) -> None:
        """Look at what is no check's: how guests ended, whether witnesses agree, what could not be judged."""
        reasons = self.reference.new_reasons(judge(evidence, self.request.subject.contract))
        self.seen.kill = kill_by_reasons(reasons)
        if self.seen.kill is None and reasons and not self.seen.error:
            self.seen.error = reasons[0].message


class _Hunt:
    """A plugin of pytest: sorts the checks, hears of each result, ends the session with the first kill.

    Attributes:
        troubles: what went wrong in pytest, or with the checks that it collects.
    """

    def __init__(self, suite: Suite, runs: frozenset[RunKey], alike: frozenset[str]) -> None:
        self.troubles: list[str] = []
        self._suite, self._runs, self._alike = suite, runs, alike
        self._reference, self._mutant, self._seen = suite.reference, suite.mutant, suite.seen
        self._prepared: set[RunKey] = set()

    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"  # any other looks for the text of each line, which nobody reads

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        functions = self._suite.request.subject.contract.functions
        reaching = self._reference.reaching(self._mutant)
        of_run: dict[RunKey, list[pytest.Item]] = {}
        for item in items:
            run = results.planned_run(item)
            if run in self._runs and self._reference.knows(run, results.check_name(item)):
                of_run.setdefault(run, []).append(item)

        runs_with = self._reference.runs_with(self._mutant)

        def seen_as(item: pytest.Item) -> Candidate:
            return _candidate(item, functions, self._reference, runs_with)

        found = {(run, results.check_name(item)) for run, of in of_run.items() for item in of}
        of_run = {
            run: [item for item in of if self._suite.asks_for(run, results.check_name(item))]
            for run, of in of_run.items()
        }
        if missing := self._reference.made_in(self._runs) - found:
            self.troubles.append(f"{len(missing)} checks of the subject are not there, as {min(missing)}")
        by_time = sorted(of_run, key=self._rank)
        items[:] = [
            item
            for run in by_time
            for item in in_order(of_run[run], seen_as, self._mutant, reaching)
            if run.profile not in self._alike or results.level_of(item) in _OF_THE_COMPILER
        ]

    def _rank(self, run: RunKey) -> int:
        runs = self._reference.runs
        return runs.index(run) if run in runs else len(runs)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        told = [decode(str(value), CheckResult) for name, value in report.user_properties if name == RESULT]
        met = [decode(str(value), CheckResult) for name, value in report.user_properties if name == SEEN]
        self._seen.checks += len(told)
        for one in told:
            self._suite.made.add((one.run, one.check))
            self._seen.last = one.check
        for result in (*told, *self._of_preflight(told), *met):
            self._take(result)

    def _of_preflight(self, told: Sequence[CheckResult]) -> list[CheckResult]:
        """What was found before the first check of a run."""
        found: list[CheckResult] = []
        for key in {one.run for one in told} - self._prepared:
            self._prepared.add(key)
            try:
                run = self._session.config.stash[SESSION].run(key)
            except HarnessError:
                continue  # each check of the run says so
            found += invariant_results(run.image.subject.contract, key, run.violated, lambda _: "")
            if Witness.DIFFERS in (run.layout.dwarf, run.layout.guest_bytes):
                self._end(Kill(how=How.FINDING, run=key, check="layout", message=run.layout.text))
        return found

    def _take(self, result: CheckResult) -> None:
        if kill := self._reference.kill_by(result):
            self._end(kill)
        elif result.outcome is Outcome.ERROR and self._reference.is_new_error(result):
            self._seen.error = self._seen.error or f"{result.check}: {result.message}"

    def _end(self, kill: Kill) -> None:
        if self._seen.kill is None:
            self._seen.kill = kill
            self._session.shouldstop = _NOT_MADE

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            words = str(report.longrepr).strip().splitlines()[-1:]
            self.troubles.append(f"{report.nodeid} cannot be collected: {''.join(words)}")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.troubles.append(f"pytest broke down: {type(excinfo.value).__name__}: {excinfo.value}")


def functions_of(request: SessionRequest) -> dict[str, frozenset[str]]:
    """Return by check, whatever its run, the functions that it may find broken."""
    found: dict[str, frozenset[str]] = {}

    class Collected:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            functions = request.subject.contract.functions
            for item in session.items:
                found[results.check_name(item)] = _may_break(item, functions)

    run_suite(replace(request, evidence=False), "--collect-only", listener=Collected(), here=True)
    return found


def _may_break(item: pytest.Item, functions: Functions) -> frozenset[str]:
    named = {results.blamed_function(item)} - {""}
    for clause in results.clauses_of(item):
        named |= functions.of_clause.get(clause, frozenset())
        named |= {one for one, broken in functions.must_return.items() if broken == clause}
    return frozenset(named)


def _candidate(
    item: pytest.Item, functions: Functions, reference: Reference, runs_with: Mapping[str, int]
) -> Candidate:
    run, check = results.planned_run(item), results.check_name(item)
    cost = reference.cost_s(run, check) if run else 0.0
    group = str(item.path) if results.shares_a_fixture(item) else ""
    return Candidate(
        check, results.level_of(item), _may_break(item, functions), group, cost, runs_with.get(check, 0)
    )
