"""What the checks say of the subject itself: a mutant is killed by what differs from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

import msgspec

from frame_harness.base.profiles import COVERAGE
from frame_harness.base.record import Record, Seconds
from frame_harness.coverage.lines import Coverage, SourceCoverage
from frame_harness.coverage.measurement import STAND_FOR_NO_CHECK
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    Level,
    Outcome,
    RunKey,
    Source,
    SubjectInfo,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import Reason, ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.mutation.mutants import Mutant
from frame_harness.mutation_testing.records import How, Kill

_BROKE_OFF = {Outcome.CRASHED: How.CRASH, Outcome.TIMEOUT: How.HANG}
_OF_KIND = {VerdictKind.CRASH: How.CRASH, VerdictKind.TIMEOUT: How.HANG}


class KnownResult(Record, frozen=True, kw_only=True):
    """What one check said of the subject in one run; `cause` as in the check's result."""

    run: RunKey
    check: str
    clauses: tuple[str, ...]
    outcome: Outcome
    duration_s: Seconds
    broken: tuple[str, ...] = ()
    cause: str = ""
    source: Source = Source.CHECK


class KnownReason(Record, frozen=True, kw_only=True):
    """What stands against a PASS of the subject, without the words, in which numbers may differ."""

    kind: VerdictKind
    code: ReasonCode
    run: RunKey | None = None
    check: str = ""
    clause: str = ""


class Reference(Record, frozen=True, kw_only=True, dict=True):
    """The judgement of the subject: every check of `check`, and which lines each of them runs.

    `about` are the functions that each check may find broken, by the check's name.
    """

    subject: SubjectInfo
    results: tuple[KnownResult, ...]
    reasons: tuple[KnownReason, ...]
    about: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    coverage: Coverage | None = None
    duration_s: Seconds = 0.0

    @cached_property
    def _by_check(self) -> dict[tuple[RunKey, str], KnownResult]:
        return {(one.run, one.check): one for one in self.results}

    @property
    def own_findings(self) -> tuple[str, ...]:
        """The clauses that the subject breaks."""
        return tuple(dict.fromkeys(clause for one in self.results for clause in one.broken))

    @property
    def runs(self) -> tuple[RunKey, ...]:
        """The runs of its results, each once, in the order of the results."""
        return tuple(dict.fromkeys(one.run for one in self.results))

    def cost_s(self, run: RunKey, check: str) -> float:
        """How long a check took; for ever where it was not made."""
        known = self._by_check.get((run, check))
        return known.duration_s if known else float("inf")

    @cached_property
    def breadth(self) -> Counter[str]:
        """How many lines each check runs."""
        sources = self.coverage.sources if self.coverage else ()
        return Counter(
            source.checks[place] for source in sources for line in source.lines for place in line.checks
        )

    def knows(self, run: RunKey, check: str) -> bool:
        """Whether a check was made on the subject."""
        return (run, check) in self._by_check

    def made_in(self, runs: Collection[RunKey]) -> frozenset[tuple[RunKey, str]]:
        """The checks that were planned and made on the subject in some runs."""
        return frozenset(
            key for key, known in self._by_check.items() if key[0] in runs and known.source is Source.CHECK
        )

    def reaching(self, mutant: Mutant) -> frozenset[str]:
        """The names of the checks that run a mutant's lines, or its function where these have no code."""
        found: set[str] = set()
        last = mutant.line + mutant.before.count("\n")
        for source in self._sources_of(mutant):
            lines: Iterable[int] = range(mutant.line, last + 1)
            found = {check for line in lines for check in source.checks_of(line)}
            if not found:
                lines = _lines_of_function(source, mutant)
                found = {check for line in lines for check in source.checks_of(line)}
        return frozenset(found - STAND_FOR_NO_CHECK)

    def runs_with(self, mutant: Mutant) -> dict[str, int]:
        """By check `Candidate.runs_with`; checks that run no line of the mutant's function are left out."""
        found: dict[str, int] = {}
        for source in self._sources_of(mutant):
            for line in _lines_of_function(source, mutant):
                checks = set(source.checks_of(line)) - STAND_FOR_NO_CHECK
                for check in checks:
                    found[check] = min(found.get(check, len(checks)), len(checks))
        return found

    def _sources_of(self, mutant: Mutant) -> Iterator[SourceCoverage]:
        for source in self.coverage.sources if self.coverage else ():
            if source.path.endswith(f"/{mutant.file}") or source.path == mutant.file:
                yield source
                return

    def kill_by(self, result: CheckResult) -> Kill | None:
        """How a result tells a mutant from the subject; None where the subject does no better."""
        known = self._by_check.get((result.run, result.check))
        how = _BROKE_OFF.get(result.outcome)
        if how is not None:
            if known is not None and known.outcome is result.outcome:
                return None
            return kill_by_result(how, result, result.clauses)
        broken = set(known.broken) if known else set()
        fresh = tuple(clause for clause in result.broken if clause not in broken)
        return kill_by_result(How.FINDING, result, fresh) if fresh else None

    def is_new_error(self, result: CheckResult) -> bool:
        """Whether a check went wrong by no fault of the mutant, as it did not on the subject."""
        known = self._by_check.get((result.run, result.check))
        return result.outcome is Outcome.ERROR and (known is None or known.outcome is not Outcome.ERROR)

    def new_reasons(self, verdict: Verdict) -> tuple[Reason, ...]:
        """What stands against a PASS of a mutant and not against one of the subject, worst first."""
        known = set(self.reasons)
        reasons = (
            one for one in verdict.reasons if one.kind is not VerdictKind.SKIP
        )  # of a part of all checks
        return tuple(one for one in reasons if _known(one) not in known)


def reference_of(
    evidence: Evidence, verdict: Verdict, about: Mapping[str, frozenset[str]] | None = None
) -> Reference:
    """Keep of a judgement what mutants are measured by.

    Args:
        about: by check the functions that it may find broken.
    """
    return Reference(
        subject=evidence.subject,
        results=tuple(
            msgspec.convert(one, KnownResult, from_attributes=True)
            for one in evidence.checks
            if one.run.profile != COVERAGE
        ),
        reasons=tuple(dict.fromkeys(map(_known, verdict.reasons))),
        about=dict(about or {}),
        coverage=evidence.coverage,
        duration_s=evidence.duration_s,
    )


def kill_by_reasons(reasons: Iterable[Reason]) -> Kill | None:
    """How reasons against a PASS tell a mutant from the subject; None where they say nothing about it."""
    for reason in reasons:
        if reason.kind not in (VerdictKind.ERROR, VerdictKind.INTERRUPTED):
            how = _OF_KIND.get(reason.kind, How.NO_PASS)
            clauses = (reason.clause,) if reason.clause else ()
            return Kill(how=how, run=reason.run, check=reason.check, clauses=clauses, message=reason.message)
    return None


def _lines_of_function(source: SourceCoverage, mutant: Mutant) -> frozenset[int]:
    name = mutant.function
    own = (one for one in source.functions if one.name == name or one.name.endswith(f"::{name}"))
    return frozenset(line for one in own for line in one.lines)


def _known(reason: Reason) -> KnownReason:
    return msgspec.convert(reason, KnownReason, from_attributes=True)


def kill_by_result(how: How, result: CheckResult, clauses: tuple[str, ...]) -> Kill:
    """What the result of a check tells of a mutant."""
    return Kill(
        how=how, run=result.run, check=result.check, clauses=clauses, message=result.message,
        expected=result.expected, got=result.got, case=result.case,
        by_storm=result.level is Level.STORM,
    )  # fmt: skip
