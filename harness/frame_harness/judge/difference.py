"""What one verdict shows that an earlier one did not, and the reverse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frame_harness.base.record import Record
from frame_harness.judge.evidence import CheckInRun, CheckResult, Evidence
from frame_harness.judge.findings import FaultKey, Finding
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.reason import BROKEN_OFF
from frame_harness.judge.verdict import Verdict


class BrokenCheck(Record, frozen=True, order=True):
    """A check that was not well, and the clauses that it looks at."""

    place: CheckInRun
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """What is broken as far as is known: what was seen, and did not hold since."""

    findings: Mapping[FaultKey, Finding] = field(default_factory=dict)
    """That no baseline knows."""
    stopped: frozenset[CheckInRun] = frozenset()
    """The checks that broke off when they were last made."""

    @property
    def checks(self) -> frozenset[CheckInRun]:
        """The checks that were not well when they were last made, each with the case that shows it."""
        return self.stopped | {one.key for finding in self.findings.values() for one in finding.results}

    @property
    def cases(self) -> frozenset[BrokenCheck]:
        """Those checks that have such a case, with the clauses that it has to come to."""
        results = (one for finding in self.findings.values() for one in finding.results if one.case)
        return frozenset(BrokenCheck(one.key, one.clauses) for one in results)


@dataclass(frozen=True)
class Difference:
    """How a verdict differs from what was known."""

    broken: tuple[Finding, ...]
    """Findings that were not there; causes before consequences, as in a verdict."""
    held: tuple[Finding, ...]
    """Findings whose clauses hold now."""
    gone: tuple[tuple[Finding, ClauseOutcome], ...]
    """Findings that do not show any more, though their clauses do not hold: each with what these are."""
    unjudged: tuple[Finding, ...]
    """Findings that nothing was said about this time; they count as broken on."""
    still: tuple[Finding, ...]
    """Findings that were there before."""
    stopped: tuple[CheckResult, ...]
    """Results of checks that broke off and did not when they were last made."""
    standing: Standing
    """What is broken now."""


def difference(known: Standing, evidence: Evidence, verdict: Verdict) -> Difference:
    """Compare a verdict with what was known before.

    That a clause holds is said only where the verdict says so, and where each run that showed the finding was
    made: silence is no proof, nor is another run.
    """
    now = {one.fault: one for one in verdict.findings if not one.known}
    missing = [one for fault, one in known.findings.items() if fault not in now]
    became = {one.clause: verdict.clauses[one.clause].outcome for one in missing}
    happened = {result.run for result in evidence.checks}
    held = tuple(
        one for one in missing if became[one.clause] is ClauseOutcome.HELD and happened.issuperset(one.runs)
    )
    unsaid = (ClauseOutcome.HELD, ClauseOutcome.NOT_EVALUATED)
    unjudged = tuple(one for one in missing if became[one.clause] in unsaid and one not in held)
    made = {_check_of(one) for one in evidence.checks}
    stopped = [one for one in evidence.checks if one.outcome in BROKEN_OFF]
    standing = Standing(
        findings=now | {one.fault: one for one in unjudged},
        stopped=frozenset(map(_check_of, stopped)) | (known.stopped - made),
    )
    return Difference(
        broken=tuple(one for fault, one in now.items() if fault not in known.findings),
        held=held,
        gone=tuple(
            (one, became[one.clause])
            for one in missing
            if became[one.clause] in (ClauseOutcome.VIOLATED, ClauseOutcome.KNOWN)
        ),
        unjudged=unjudged,
        still=tuple(one for fault, one in now.items() if fault in known.findings),
        stopped=tuple(one for one in stopped if _check_of(one) not in known.stopped),
        standing=standing,
    )


def _check_of(result: CheckResult) -> CheckInRun:
    """Without a case: what broke off has none, and whatever it shows when it is made again settles that."""
    return CheckInRun(run=result.run, check=result.check)
