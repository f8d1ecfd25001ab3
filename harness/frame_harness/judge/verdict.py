"""The judgement: evidence in, one verdict with its reasons out."""

from collections.abc import Collection, Iterable, Iterator

import msgspec

from frame_harness.base.record import Record
from frame_harness.contract.contract import Contract
from frame_harness.contract.versions import lacking
from frame_harness.judge.baseline import EMPTY, Baseline, BaselineEntry
from frame_harness.judge.conjuncts import reasons_against, reasons_against_runs
from frame_harness.judge.evidence import WELL, CheckResult, Evidence, Outcome, RunKey
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.findings import Finding, findings_of
from frame_harness.judge.judgement import ClauseJudgement, ClauseOutcome
from frame_harness.judge.reason import Reason, ReasonCode

# Of an interrupted run: what holds though much is missing. Its end makes no guest crash or use up its time;
# an error of the harness may come from it.
_SEEN_SO_FAR = {
    ReasonCode.VIOLATION,
    ReasonCode.LAYOUT,
    ReasonCode.LAYOUT_WITNESS,
    ReasonCode.DUMP_WITNESS,
    ReasonCode.SELFTEST,
}
_ENDS_SO_FAR = {VerdictKind.CRASH, VerdictKind.TIMEOUT}


class Verdict(Record, frozen=True, kw_only=True):
    """The judgement; born ERROR, and anything else only through `judge`.

    `findings` are the broken clauses, new before known, causes before consequences. `unpromised` says what
    was not evaluated because the contract says nothing of it.
    """

    kind: VerdictKind = VerdictKind.ERROR
    reasons: tuple[Reason, ...] = ()
    clauses: dict[str, ClauseJudgement] = msgspec.field(default_factory=dict)
    known: tuple[BaselineEntry, ...] = ()
    stale: tuple[BaselineEntry, ...] = ()
    findings: tuple[Finding, ...] = ()
    unpromised: tuple[str, ...] = ()

    def count(self, outcome: ClauseOutcome) -> int:
        """How many clauses have that outcome."""
        return sum(clause.outcome is outcome for clause in self.clauses.values())

    @property
    def absent(self) -> int:
        """How many clauses are not in this version of the module."""
        return sum(bool(clause.lacks) for clause in self.clauses.values())


def judge(
    evidence: Evidence, contract: Contract, baseline: Baseline = EMPTY, required: Collection[str] = ()
) -> Verdict:
    """Judge a whole run.

    Args:
        required: clause ids that must have been looked at; a selection of checks leaves it empty.
    Returns:
        PASS when no reason stands against it, else the worst kind among the reasons, worst first.
    """
    clauses = {id_: _judge_clause(id_, evidence, contract, baseline) for id_ in contract.clauses}
    said = _explained(evidence)
    hidden = [one for one in _hidden(evidence, baseline) if one.clause not in said]
    said |= {one.clause for one in hidden}
    reasons = [
        *reasons_against(evidence, contract, baseline),
        *_violations(evidence, baseline),
        *hidden,
        *_unjudged(clauses, [id_ for id_ in required if id_ not in said]),
    ]
    if evidence.interrupted:
        reasons = [_interrupted(evidence), *_so_far(reasons)]
    fired, stale = _baseline_use(evidence, baseline)
    found = findings_of(evidence, baseline, contract)
    verdict = Verdict(
        clauses=clauses, known=fired, stale=stale, findings=found, unpromised=contract.unpromised
    )
    return _promote(verdict, reasons)


def _interrupted(evidence: Evidence) -> Reason:
    message = f"stopped after {len(evidence.checks)} results; what is missing was not looked at"
    return Reason(kind=VerdictKind.INTERRUPTED, code=ReasonCode.INTERRUPTED, message=message)


def _so_far(reasons: Iterable[Reason]) -> list[Reason]:
    return [one for one in reasons if one.code in _SEEN_SO_FAR or one.kind in _ENDS_SO_FAR]


def judge_runs(evidence: Evidence, contract: Contract) -> tuple[Reason, ...]:
    """What stands against tests that all passed, worst first, where nobody planned them.

    Of tests that were interrupted it is what was seen so far.
    """
    reasons = [*reasons_against_runs(evidence, contract), *_violations(evidence, EMPTY)]
    return _promote(Verdict(), _so_far(reasons) if evidence.interrupted else reasons).reasons


def _promote(born: Verdict, reasons: list[Reason]) -> Verdict:
    reasons.sort(key=lambda reason: -reason.kind.severity)
    kind = reasons[0].kind if reasons else VerdictKind.PASS
    return msgspec.structs.replace(born, kind=kind, reasons=tuple(reasons))


def _violations(evidence: Evidence, baseline: Baseline) -> Iterator[Reason]:
    for result in evidence.checks:
        if result.outcome is not Outcome.VIOLATED:
            continue
        unknown = [id_ for id_ in result.broken if baseline.entry(id_, result) is None]
        if unknown or not result.broken:
            names = ", ".join(unknown) or "no clause"
            message = f"{names}: {what_was_seen(result)}"
            yield Reason.of_check(VerdictKind.FAIL, ReasonCode.VIOLATION, result, message)


def _hidden(evidence: Evidence, baseline: Baseline) -> Iterator[Reason]:
    """Clauses that a check did not look at in a run because of one that is known to be broken there.

    They are asked for, also in a selection: what is known stands against no PASS, so it may not hide them.
    Nor does another run say anything of this one.
    """
    new = {
        (result.run, id_)
        for result in evidence.checks
        for id_ in result.broken
        if baseline.entry(id_, result) is None
    }
    told = set[tuple[RunKey, str]]()
    for result in evidence.checks:
        met = (result.hindered_by,) if result.hindered_by else result.broken
        if all((result.run, id_) in new for id_ in met):
            continue
        for id_ in result.clauses:
            of_run = [one for one in _results_of(id_, evidence) if one.run == result.run]
            looked = any(id_ in one.broken for one in of_run) or not _inconclusive(result, of_run)
            if not looked and (result.run, id_) not in told:
                told.add((result.run, id_))
                how = how_it_ended(result.outcome, result.broken)
                message = f"{id_}: not evaluated: {_left_by(result, (), how).message}"
                yield Reason(
                    kind=VerdictKind.NO_TESTS, code=ReasonCode.CLAUSE_UNJUDGED, message=message,
                    run=result.run, clause=id_,
                )  # fmt: skip


def _explained(evidence: Evidence) -> set[str]:
    """The clauses of checks that said themselves why they could not judge."""
    return {
        id_ for result in evidence.checks if result.outcome is Outcome.NOT_EVALUATED for id_ in result.clauses
    }


def _unjudged(clauses: dict[str, ClauseJudgement], required: Collection[str]) -> Iterator[Reason]:
    for id_ in required:
        judgement = clauses.get(id_)
        if judgement is not None and judgement.lacks:
            continue
        if judgement is None or judgement.outcome is ClauseOutcome.NOT_EVALUATED:
            words = judgement.message if judgement else "not in the contract"
            message = f"{id_}: not evaluated: {words}"
            yield Reason(
                kind=VerdictKind.NO_TESTS, code=ReasonCode.CLAUSE_UNJUDGED, message=message, clause=id_
            )


def _judge_clause(id_: str, evidence: Evidence, contract: Contract, baseline: Baseline) -> ClauseJudgement:
    results = _results_of(id_, evidence)
    checks = tuple(dict.fromkeys(result.check for result in results))
    broken = [result for result in results if id_ in result.broken]
    fresh = [result for result in broken if baseline.entry(id_, result) is None]
    if fresh:
        outcome, message = ClauseOutcome.VIOLATED, _seen_in(fresh)
    elif broken:
        entry = baseline.entry(id_, broken[0])
        outcome, message = ClauseOutcome.KNOWN, entry.reason if entry else ""
    elif stuck := [result for result in results if _inconclusive(result, results)]:
        stopped = evidence.interrupted and stuck[0] not in evidence.checks
        how = how_it_ended(stuck[0].outcome, stuck[0].broken)
        return _left_by(stuck[0], checks, str(ReasonCode.INTERRUPTED) if stopped else how)
    elif any(result.outcome is Outcome.PASSED for result in results):
        outcome, message = ClauseOutcome.HELD, ""
    elif absent := [result for result in results if result.outcome is Outcome.ABSENT]:
        lacks = _lacks_of(id_, absent, evidence, contract)
        if not lacks:
            return _left_by(absent[0], checks, "no check of it can be made in this version")
        message = f"not in this version, which lacks {', '.join(lacks)}"
        return ClauseJudgement(
            outcome=ClauseOutcome.NOT_EVALUATED, checks=checks, message=message, lacks=lacks
        )
    elif results:
        return _left_by(results[0], checks, str(Outcome.SKIPPED))
    else:
        outcome, message = ClauseOutcome.NOT_EVALUATED, "no check of it ran"
    return ClauseJudgement(outcome=outcome, checks=checks, message=message)


def _lacks_of(
    id_: str, absent: Iterable[CheckResult], evidence: Evidence, contract: Contract
) -> tuple[str, ...]:
    """The names that a clause speaks of and this version lacks.

    A check may need others, which it uses by the way: for want of those no clause is out of a version. Of a
    contract that has no table of names the checks know, each of which looks at one clause.
    """
    if contract.versions.names:
        return lacking(contract.versions.of_clause(id_), evidence.lacks)
    return tuple(dict.fromkeys(name for result in absent for name in result.lacks))


def _left_by(result: CheckResult, checks: tuple[str, ...], how: str) -> ClauseJudgement:
    """A clause that a check left unevaluated; `how` it ended, in words."""
    return ClauseJudgement(
        outcome=ClauseOutcome.NOT_EVALUATED, checks=checks, message=f"{how}: {result.message}".strip(": "),
        ended=result.outcome, met=result.broken, cause=result.message,
    )  # fmt: skip


def _results_of(id_: str, evidence: Evidence) -> list[CheckResult]:
    """What was seen of a clause; a check of it that was planned and never reported is in error."""
    results = [result for result in evidence.checks if id_ in result.clauses]
    reported = {(result.run, result.check) for result in results}
    lost = [
        CheckResult(
            check=one.check, clauses=one.clauses, run=one.run, outcome=Outcome.ERROR, duration_s=0,
            message=f"{one.check} was planned in {one.run}, and never finished",
        )
        for one in evidence.plan
        if id_ in one.clauses and (one.run, one.check) not in reported
    ]  # fmt: skip
    return results + lost


def _inconclusive(result: CheckResult, results: Iterable[CheckResult]) -> bool:
    """Whether a check broke off, or ended at another clause before it settled this one.

    One that was hindered beforehand leaves nothing open where another one of its run saw the clause hold.

    Args:
        results: of the clause.
    """
    if result.hindered_by:
        return not any(one.outcome is Outcome.PASSED and one.run == result.run for one in results)
    return result.outcome not in WELL


def how_it_ended(outcome: Outcome, met: Collection[str]) -> str:
    """How a check ended, in words: at the clauses that it met broken, where it met any."""
    return f"the check ended at {', '.join(met)}" if met else str(outcome)


def _seen_in(results: Iterable[CheckResult]) -> str:
    results = list(results)
    runs = ", ".join(dict.fromkeys(str(result.run) for result in results))
    return f"{what_was_seen(results[0])} ({runs})"


def what_was_seen(result: CheckResult) -> str:
    """One line: the message, or else expected and got."""
    if result.message:
        return result.message
    if result.expected or result.got:
        return f"expected {result.expected}, got {result.got}"
    return f"{result.check} {result.outcome}"


def _baseline_use(
    evidence: Evidence, baseline: Baseline
) -> tuple[tuple[BaselineEntry, ...], tuple[BaselineEntry, ...]]:
    """Entries that fired, and entries whose clause held wherever they apply."""
    fired, stale = [], []
    for entry in baseline.entries:
        results = [
            result
            for result in _results_of(entry.id, evidence)
            if entry.profile in (None, result.run.profile)
        ]
        if any(entry.id in result.broken and entry.covers(entry.id, result) for result in results):
            fired.append(entry)
        elif _all_held(results):
            stale.append(entry)
    return tuple(fired), tuple(stale)


def _all_held(results: Collection[CheckResult]) -> bool:
    seen = any(result.outcome is Outcome.PASSED for result in results)
    return seen and not any(_inconclusive(result, results) for result in results)


def runs_of(results: Iterable[CheckResult]) -> tuple[RunKey, ...]:
    """The runs of some results, each once, in order of appearance."""
    return tuple(dict.fromkeys(result.run for result in results))
