"""The clauses that a subject breaks, each with everything seen of it, causes before consequences."""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from frame_harness.base.record import Record
from frame_harness.contract.clauses import Clause
from frame_harness.contract.contract import Contract
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, RunKey
from frame_harness.judge.explanation import CauseFinder
from frame_harness.judge.judgement import ClauseJudgement, ClauseOutcome
from frame_harness.judge.origin import Origin


class Finding(Record, frozen=True, kw_only=True):
    """One broken clause, or one `cause` of several that break it.

    `known` holds the baseline's reason, empty when the baseline lacks it.

    `where` says in which runs it shows, in words; the first of `results`, seen by the simplest check, is the
    violation to show. `explained_by` is the clause of the finding that this one is a consequence of.
    `origin` is known where it was followed back over the subject's history.
    """

    clause: str
    title: str
    where: str
    results: tuple[CheckResult, ...]
    known: str = ""
    explained_by: str = ""
    cause: str = ""
    origin: Origin | None = None

    @property
    def first(self) -> CheckResult:
        """The violation to show: what the simplest check saw."""
        return self.results[0]

    @property
    def runs(self) -> tuple[RunKey, ...]:
        """The runs in which it shows, each once, in the order of the results."""
        return tuple(dict.fromkeys(result.run for result in self.results))


def findings_of(
    evidence: Evidence, judgements: Mapping[str, ClauseJudgement], contract: Contract
) -> tuple[Finding, ...]:
    """Group violations by clause: new before known, promises before hazards, simple before involved checks.

    A finding that another one explains follows it, whatever its own place would be.
    """
    clauses, explanation = contract.clauses, CauseFinder(contract, evidence.planned_runs)
    broken = clauses.in_order(id_ for result in evidence.checks for id_ in result.broken if id_ in clauses)
    faults = [(id_, cause) for id_ in broken for cause in _causes(id_, evidence)]
    ordered = explanation.in_order(
        [_finding(clauses[id_], cause, evidence, judgements[id_], explanation) for id_, cause in faults]
    )
    cause = explanation.causes(ordered)
    explained = [replace(one, explained_by=cause.get(one.clause, "")) for one in ordered]
    return tuple(
        one
        for root in explained
        if not root.explained_by
        for one in (root, *(other for other in explained if other.explained_by == root.clause))
    )


def _causes(clause: str, evidence: Evidence) -> Collection[str]:
    """What tells faults apart that break a clause, in the order in which they were seen."""
    return dict.fromkeys(result.cause for result in evidence.checks if clause in result.broken)


def _finding(
    broken: Clause, cause: str, evidence: Evidence, judgement: ClauseJudgement, explanation: CauseFinder
) -> Finding:
    results = tuple(
        result for result in evidence.checks if broken.id in result.broken and result.cause == cause
    )
    looked_at = [
        result.run
        for result in evidence.checks
        if broken.id in result.clauses and result.outcome in (Outcome.PASSED, Outcome.VIOLATED)
    ]
    return Finding(
        clause=broken.id,
        title=broken.title,
        where=_where({result.run for result in results}, set(looked_at)),
        results=explanation.simplest_first(results),
        known=judgement.message if judgement.outcome is ClauseOutcome.KNOWN else "",
        cause=cause,
        origin=evidence.origin_of(broken.id, cause),
    )


def _where(broken: Collection[RunKey], looked_at: Collection[RunKey]) -> str:
    """Name the runs as briefly as is true: a clause may show in one profile or on one machine alone."""
    if len(looked_at) > 1 and set(broken) == set(looked_at):
        return "every run"
    for side in ("profile", "machine"):
        values = {getattr(run, side) for run in broken}
        if len(values) == 1 and len({getattr(run, side) for run in looked_at}) > 1:
            [value] = values
            if set(broken) == {run for run in looked_at if getattr(run, side) == value}:
                return f"{value} only"
    return ", ".join(sorted(map(str, broken)))
