"""What must hold of the checks for a PASS: each fact gives the reasons why it does not."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from frame_harness.contract.clauses import Clauses
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, PlannedCheck, RunKey, Source
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import CODE_OF_BROKEN_OFF, KIND_OF_BROKEN_OFF, Reason, ReasonCode

_SIGNS_OF_A_BROKEN_SUBJECT = (Outcome.VIOLATED, Outcome.CRASHED, Outcome.TIMEOUT)
_UNASKED = (Outcome.SKIPPED, Outcome.ABSENT)


def every_check_belongs_to_a_run(evidence: Evidence) -> Iterator[Reason]:
    """No result comes from a run without evidence of its own."""
    happened = {run.run for run in evidence.runs}
    for result in evidence.checks:
        if result.run not in happened:
            message = f"check: {result.check}: its run is not in evidence"
            yield Reason.of_check(VerdictKind.ERROR, ReasonCode.STRAY_CHECK, result, message)


def every_check_speaks_of_the_contract(evidence: Evidence, clauses: Clauses) -> Iterator[Reason]:
    """Each result names clauses that there are, the same in each run, and breaks only those."""
    named: dict[str, tuple[str, ...]] = {}
    broken = {(result.run, id_) for result in evidence.checks for id_ in result.broken}
    for result in evidence.checks:
        unknown = [id_ for id_ in result.clauses if id_ not in clauses]
        complaints = [f"no clause {id_!r}, {clauses.nearest(id_)}" for id_ in unknown]
        complaints += [
            f"breaks {id_}, which it does not check" for id_ in result.breaks if id_ not in result.clauses
        ]
        if result.breaks and result.outcome is not Outcome.VIOLATED:
            complaints.append(f"breaks {result.breaks[0]}, yet is {result.outcome}")
        if result.cause and result.outcome is not Outcome.VIOLATED:
            complaints.append(f"has a cause, yet is {result.outcome}")
        if not result.clauses:
            complaints.append("names no clause")
        if result.hindered_by and result.outcome is not Outcome.SKIPPED:
            complaints.append(f"hindered by {result.hindered_by}, yet is {result.outcome}")
        elif result.hindered_by and (result.run, result.hindered_by) not in broken:
            complaints.append(f"hindered by {result.hindered_by}, which nothing breaks in its run")
        if named.setdefault(result.check, result.clauses) != result.clauses:
            complaints.append("names other clauses in another run")
        for complaint in complaints:
            message = f"check: {result.check}: {complaint}"
            yield Reason.of_check(VerdictKind.ERROR, ReasonCode.CHECK_CLAUSE, result, message)


def plan_is_complete(
    run: RunKey, plan: Iterable[PlannedCheck], results: Collection[CheckResult]
) -> Iterator[Reason]:
    """Each check planned in a run was reported once, of the same clauses, and some check was made.

    Args:
        plan: of all runs.
        results: of this run.
    """
    clauses = [(one.check, one.clauses) for one in plan if one.run == run]
    if not clauses:
        yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.NO_CHECKS, run, "checks: none planned")
    elif none_made(results):
        outcomes = Counter(str(result.outcome) for result in of_checks(results))
        words = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        message = f"checks: none made: {words}"
        yield Reason.of_run(VerdictKind.SKIP, ReasonCode.ALL_SKIPPED, run, message)
    planned = Counter(check for check, _ in clauses)
    reported = Counter(result.check for result in results)
    complaints = {
        check: f"planned {planned[check]}, reported {reported[check]} times"
        for check in dict.fromkeys([*planned, *reported])
        if not planned[check] == reported[check] == 1
    }
    for result in results:
        if (result.check, result.clauses) not in clauses:
            complaints.setdefault(result.check, "looked at other clauses than those planned")
    for check, words in complaints.items():
        message = f"check: {check}: {words}"
        yield Reason(kind=VerdictKind.ERROR, code=ReasonCode.PLAN, message=message, run=run, check=check)


def checks_came_to_an_end(evidence: Evidence) -> Iterator[Reason]:
    """No check crashed, hung or failed by an error."""
    # Data that could not be read is explained by a subject that is broken in the same run: then this check
    # has looked at nothing. Without any such sign it is the harness that went wrong.
    broken = {result.run for result in evidence.checks if result.outcome in _SIGNS_OF_A_BROKEN_SUBJECT}
    for result in evidence.checks:
        kind = KIND_OF_BROKEN_OFF.get(result.outcome)
        if kind is VerdictKind.ERROR and result.unreadable and result.run in broken:
            kind = VerdictKind.NO_TESTS
        if kind is not None:
            message = f"check: {result.check}: {result.message or result.outcome}"
            yield Reason.of_check(kind, CODE_OF_BROKEN_OFF[result.outcome], result, message)


def checks_could_judge(evidence: Evidence) -> Iterator[Reason]:
    """Each cause once, with all the clauses that it keeps from being judged."""
    causes: dict[str, dict[str, None]] = {}
    for result in evidence.checks:
        if result.outcome is Outcome.NOT_EVALUATED:
            causes.setdefault(result.message, {}).update(dict.fromkeys(result.clauses))
    for cause, clauses in causes.items():
        message = f"{', '.join(clauses)}: not evaluated: {cause}"
        yield Reason(kind=VerdictKind.NO_TESTS, code=ReasonCode.CHECK_NOT_EVALUATED, message=message)


def absence_is_known(evidence: Evidence) -> Iterator[Reason]:
    """Only what the compiler says is not there may keep a check from looking."""
    for result in evidence.checks:
        unknown = [name for name in result.lacks if name not in evidence.lacks]
        if (result.outcome is Outcome.ABSENT) != bool(result.lacks) or unknown:
            names = ", ".join(unknown or result.lacks) or "no name"
            message = f"check: {result.check}: {result.outcome} for want of {names}, which the module has"
            yield Reason.of_check(VerdictKind.ERROR, ReasonCode.ABSENCE, result, message)


def something_is_in_this_version(evidence: Evidence) -> Iterator[Reason]:
    """Not all selected checks are about what this version of the module lacks.

    One that a finding hindered is not.
    """
    made = of_checks(evidence.checks)
    outcomes = {result.outcome for result in made}
    hindered = any(result.hindered_by for result in made)
    if Outcome.ABSENT in outcomes and outcomes <= set(_UNASKED) and not hindered:
        names = dict.fromkeys(name for result in evidence.checks for name in result.lacks)
        message = f"no selected check is about this version: it lacks {', '.join(names)}"
        yield Reason(kind=VerdictKind.UNJUDGEABLE, code=ReasonCode.ALL_ABSENT, message=message)


def of_checks(results: Iterable[CheckResult]) -> list[CheckResult]:
    """The results of checks; what was found beside them shows that no check looked at anything."""
    return [result for result in results if result.source is Source.CHECK]


def none_made(results: Iterable[CheckResult]) -> bool:
    """Whether a check was skipped, and none looked at anything: all others are absent or skipped, too."""
    outcomes = {result.outcome for result in of_checks(results)}
    return Outcome.SKIPPED in outcomes and outcomes <= set(_UNASKED)
