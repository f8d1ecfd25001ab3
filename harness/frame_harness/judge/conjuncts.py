"""The facts that must all hold for a PASS, each giving the reasons why it does not."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.record import Record
from frame_harness.contract.clauses import Clauses
from frame_harness.contract.contract import Contract
from frame_harness.contract.versions import lacking
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    Level,
    Outcome,
    RunEvidence,
    RunKey,
    Source,
    Witness,
)
from frame_harness.judge.exit_codes import Kind

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BUILD_ID = re.compile(r"[0-9a-f]{8,}")
_GUEST_WRITTEN = {GuestEnd.PASS, GuestEnd.FAIL, GuestEnd.PANIC}
_MISMATCH = {
    GuestEnd.PASS: Kind.ERROR,
    GuestEnd.FAIL: Kind.FAIL,
    GuestEnd.TIMEOUT: Kind.TIMEOUT,
    GuestEnd.KILLED: Kind.ERROR,
    GuestEnd.SIGNALED: Kind.ERROR,
    GuestEnd.REFUSED: Kind.ERROR,
} | {end: Kind.CRASH for end in GuestEnd if end.is_crash}
_SIGNS_OF_A_BROKEN_SUBJECT = (Outcome.VIOLATED, Outcome.CRASHED, Outcome.TIMEOUT)
_BROKEN_OFF = {Outcome.CRASHED: Kind.CRASH, Outcome.TIMEOUT: Kind.TIMEOUT, Outcome.ERROR: Kind.ERROR}
_UNASKED = (Outcome.SKIPPED, Outcome.ABSENT)
_UNREAD = ("layout-unread", "no-selftest", "no-invariants", "invariants-missing", "no-dump")
"""Codes of what a run lacks when it broke off before its first check."""


class Reason(Record, frozen=True, kw_only=True):
    """One fact that stands against a PASS; `code` is stable, for programs.

    `clause` is what `message` begins with, where one clause alone was not judged.
    """

    kind: Kind
    code: str
    message: str
    run: RunKey | None = None
    check: str = ""
    clause: str = ""


def troubles(evidence: Evidence) -> Iterator[Reason]:
    """Whatever kept the harness from its work; a version that lacks what was asked for is unjudgeable."""
    for trouble in evidence.errors:
        absent = trouble.outcome is Outcome.ABSENT
        message = trouble.message if absent else f"{trouble.what}: {trouble.message}"
        kind = Kind.UNJUDGEABLE if absent else _BROKEN_OFF.get(trouble.outcome, Kind.ERROR)
        yield Reason(kind=kind, code="trouble", message=message, run=trouble.run)


def subject_is_identified(evidence: Evidence) -> Iterator[Reason]:
    """The subject has a sha256 in 64 lower-case hexadecimal digits."""
    if not _SHA256.fullmatch(evidence.subject.sha256):
        got = repr(evidence.subject.sha256)
        yield Reason(kind=Kind.ERROR, code="subject", message=f"subject: expected a sha256, got {got}")


def every_planned_run_happened_once(evidence: Evidence) -> Iterator[Reason]:
    """Some run was planned, and each happened once, unless a trouble says why it did not."""
    if not evidence.planned_runs and not evidence.errors:
        message = "no run was planned"
        if evidence.selection:
            message = f"no check matches -k {evidence.selection!r}: `clauses` lists ids and checks"
        yield Reason(kind=Kind.NO_TESTS, code="no-runs", message=message)
    explained = {trouble.run for trouble in evidence.errors}
    planned, happened = Counter(evidence.planned_runs), Counter(run.run for run in evidence.runs)
    for key in dict.fromkeys([*planned, *happened]):
        if key in explained and not happened[key]:
            continue
        if planned[key] != 1 or happened[key] != 1:
            message = f"run: planned {planned[key]} times, happened {happened[key]} times"
            yield Reason(kind=Kind.ERROR, code="runs", message=message, run=key)


def every_check_belongs_to_a_run(evidence: Evidence) -> Iterator[Reason]:
    """No result comes from a run without evidence of its own."""
    happened = {run.run for run in evidence.runs}
    for result in evidence.checks:
        if result.run not in happened:
            message = f"check: {result.check}: its run is not in evidence"
            yield Reason(
                kind=Kind.ERROR, code="stray-check", message=message, run=result.run, check=result.check
            )


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
            yield Reason(
                kind=Kind.ERROR, code="check-clause", message=message, run=result.run, check=result.check
            )


def run_is_identified(run: RunEvidence, evidence: Evidence) -> Iterator[Reason]:
    """The image has a sha256 and a build-id, and was built of the subject that is judged."""
    if not _SHA256.fullmatch(run.image_sha256) or not _BUILD_ID.fullmatch(run.build_id):
        message = f"image: expected sha256 and build-id, got {run.image_sha256!r} and {run.build_id!r}"
        yield Reason(kind=Kind.ERROR, code="image", message=message, run=run.run)
    if run.subject_sha256 != evidence.subject.sha256:
        built, now = run.subject_sha256[:12] or "nothing", evidence.subject.sha256[:12] or "nothing"
        message = f"subject: expected {now}, got {built}: the file changed while it was judged"
        yield Reason(kind=Kind.ERROR, code="subject-changed", message=message, run=run.run)


def guests_ended_as_expected(run: RunEvidence) -> Iterator[Reason]:
    """Some guest was booted, and each ended with the status that it was asked for."""
    if run.guests_booted < 1:
        yield Reason(kind=Kind.ERROR, code="no-guest", message="guests: none booted", run=run.run)
    ended = sum(entry.count for entry in run.exits)
    if ended != run.guests_booted or any(entry.count < 1 for entry in run.exits):
        message = f"guests: {run.guests_booted} booted, exit status known of {ended}"
        yield Reason(kind=Kind.ERROR, code="guests", message=message, run=run.run)
    for entry in run.exits:
        if entry.expected not in _GUEST_WRITTEN:
            message = f"exit: {entry.expected} may not be expected: no guest writes it"
            yield Reason(kind=Kind.ERROR, code="exit-expectation", message=message, run=run.run)
        elif entry.got is not entry.expected:
            text = f" ({entry.text})" if entry.text else ""
            times = f" {entry.count} times" if entry.count > 1 else ""
            message = f"exit: expected {entry.expected}, got {entry.got}{times}{text}"
            yield Reason(kind=_MISMATCH[entry.got], code="exit", message=message, run=run.run)


def layout_witnesses_agree(run: RunEvidence) -> Iterator[Reason]:
    """DWARF and guest bytes were read and equal the contract, unless the layout ended the run."""
    layout = run.layout
    if layout.dwarf is Witness.DIFFERS:
        message = "layout: DWARF differs from the contract"
        yield Reason(kind=Kind.FAIL, code="layout", message=message, run=run.run)
    elif layout.guest_bytes is Witness.DIFFERS:
        message = "layout: witnesses disagree: DWARF equals the contract, guest bytes do not"
        yield Reason(kind=Kind.FAIL, code="layout-witness", message=message, run=run.run)
    if Witness.UNREAD in (layout.dwarf, layout.guest_bytes) and not stopped_at_layout(run):
        why = f": {layout.text}" if layout.text else ""
        message = f"layout: DWARF {layout.dwarf}, guest bytes {layout.guest_bytes}{why}"
        kind = Kind.NO_TESTS if broke_off(run) or why else Kind.ERROR
        yield Reason(kind=kind, code="layout-unread", message=message, run=run.run)


def dumps_are_whole(run: RunEvidence) -> Iterator[Reason]:
    """Each dump that was requested arrived whole and says the same as guest RAM."""
    dumps = run.dumps
    if dumps.whole != dumps.requested:
        message = f"dumps: {dumps.requested} requested, {dumps.whole} whole"
        yield Reason(kind=Kind.ERROR, code="dumps", message=message, run=run.run)
    if dumps.contradicted:
        message = f"dumps: {dumps.contradicted} of {dumps.requested} say other than guest RAM"
        yield Reason(kind=Kind.FAIL, code="dump-witness", message=message, run=run.run)


def dump_was_compared(
    run: RunEvidence, evidence: Evidence, contract: Contract, baseline: Baseline
) -> Iterator[Reason]:
    """Where a guest prints its slots, it was asked to: else the console says nothing about them."""
    if contract.dumped and run.dumps.requested < 1 and not _memory_is_broken(run, evidence, baseline):
        message = "dumps: none requested, so the console was never compared with guest RAM"
        yield Reason(kind=Kind.NO_TESTS, code="no-dump", message=message, run=run.run)


def selftest_is_complete(run: RunEvidence) -> Iterator[Reason]:
    """The guest's self-test had a plan, and each test of it passed."""
    test = run.selftest
    if test.plan < 1:
        yield Reason(kind=Kind.NO_TESTS, code="no-selftest", message="selftest: planned 0", run=run.run)
    if min(test.passed, test.failed) < 0 or test.passed + test.failed != test.plan:
        message = f"selftest: planned {test.plan}, passed {test.passed}, failed {test.failed}"
        yield Reason(kind=Kind.ERROR, code="selftest-incomplete", message=message, run=run.run)
    if test.failed:
        message = f"selftest: {test.failed} of {test.plan} failed"
        yield Reason(kind=Kind.FAIL, code="selftest", message=message, run=run.run)


def plan_is_complete(run: RunEvidence, results: tuple[CheckResult, ...]) -> Iterator[Reason]:
    """Each planned check finished once and was reported once, and not all were skipped."""
    if not run.planned:
        yield Reason(kind=Kind.NO_TESTS, code="no-checks", message="checks: none planned", run=run.run)
    elif _all_skipped(results):
        message = f"checks: all {len(_of_checks(results))} skipped"
        yield Reason(kind=Kind.SKIP, code="all-skipped", message=message, run=run.run)
    planned, finished = Counter(run.planned), Counter(run.finished)
    reported = Counter(result.check for result in results)
    for check in dict.fromkeys([*planned, *finished, *reported]):
        if not planned[check] == finished[check] == reported[check] == 1:
            message = (
                f"check: {check}: planned {planned[check]}, finished {finished[check]}, "
                f"reported {reported[check]} times"
            )
            yield Reason(kind=Kind.ERROR, code="plan", message=message, run=run.run, check=check)


def plan_names_every_clause(run: RunEvidence, evidence: Evidence) -> Iterator[Reason]:
    """The plan has each check of the run with the clauses that its result names."""
    plan = [one for one in evidence.plan if one.run == run.run]
    if Counter(one.check for one in plan) != Counter(run.planned):
        message = f"plan: {len(plan)} checks with clauses, {len(run.planned)} planned"
        yield Reason(kind=Kind.ERROR, code="plan", message=message, run=run.run)
    clauses = {one.check: one.clauses for one in plan}
    for result in evidence.checks:
        if result.run == run.run and clauses.get(result.check, result.clauses) != result.clauses:
            message = f"check: {result.check}: looked at other clauses than those planned"
            yield Reason(kind=Kind.ERROR, code="plan", message=message, run=run.run, check=result.check)


def invariants_saw_frames(run: RunEvidence) -> Iterator[Reason]:
    """Some invariant was evaluated, and each of them looked at something."""
    if not run.invariants:
        message = "invariants: none evaluated"
        yield Reason(kind=Kind.NO_TESTS, code="no-invariants", message=message, run=run.run)
    for name, frames in run.invariants.items():
        if frames < 1:
            message = f"invariant: {name}: looked at nothing"
            yield Reason(kind=Kind.NO_TESTS, code="empty-invariant", message=message, run=run.run)


def every_invariant_was_evaluated(
    run: RunEvidence, evidence: Evidence, contract: Contract, baseline: Baseline
) -> Iterator[Reason]:
    """All that the contract has, but for those that speak of what this version lacks."""
    if not run.invariants or _memory_is_broken(run, evidence, baseline):
        return
    missing = [
        id_
        for id_, invariant in contract.invariants.items()
        if id_ not in run.invariants
        and not lacking(contract.versions.of_clauses(invariant.clauses), evidence.lacks)
    ]
    if missing:
        message = f"invariants: {len(missing)} of {len(contract.invariants)} not evaluated: "
        message += ", ".join(missing)
        yield Reason(kind=Kind.NO_TESTS, code="invariants-missing", message=message, run=run.run)


def _memory_is_broken(run: RunEvidence, evidence: Evidence, baseline: Baseline) -> bool:
    """Whether memory as a whole was found broken before the first check: then nothing more is read of it.

    A finding that the baseline knows stands against no PASS, so it excuses nothing.
    """
    return run.layout.dwarf is Witness.DIFFERS or any(
        result.run == run.run
        and result.level is Level.MEMORY
        and result.outcome is Outcome.VIOLATED
        and any(baseline.entry(id_, run.run) is None for id_ in result.broken)
        for result in evidence.checks
    )


def checks_came_to_an_end(evidence: Evidence) -> Iterator[Reason]:
    """No check crashed, hung or failed by an error."""
    # Data that could not be read is explained by a subject that is broken in the same run: then this check
    # has looked at nothing. Without any such sign it is the harness that went wrong.
    broken = {result.run for result in evidence.checks if result.outcome in _SIGNS_OF_A_BROKEN_SUBJECT}
    for result in evidence.checks:
        kind = _BROKEN_OFF.get(result.outcome)
        if kind is Kind.ERROR and result.unreadable and result.run in broken:
            kind = Kind.NO_TESTS
        if kind is not None:
            message = f"check: {result.check}: {result.message or result.outcome}"
            yield Reason(
                kind=kind, code=f"check-{result.outcome}", message=message, run=result.run, check=result.check
            )


def checks_could_judge(evidence: Evidence) -> Iterator[Reason]:
    """Each cause once, with all the clauses that it keeps from being judged."""
    causes: dict[str, dict[str, None]] = {}
    for result in evidence.checks:
        if result.outcome is Outcome.NOT_EVALUATED:
            causes.setdefault(result.message, {}).update(dict.fromkeys(result.clauses))
    for cause, clauses in causes.items():
        message = f"{', '.join(clauses)}: not evaluated: {cause}"
        yield Reason(kind=Kind.NO_TESTS, code="check-not-evaluated", message=message)


def absence_is_known(evidence: Evidence) -> Iterator[Reason]:
    """Only what the compiler says is not there may keep a check from looking."""
    for result in evidence.checks:
        unknown = [name for name in result.lacks if name not in evidence.lacks]
        if (result.outcome is Outcome.ABSENT) != bool(result.lacks) or unknown:
            names = ", ".join(unknown or result.lacks) or "no name"
            message = f"check: {result.check}: {result.outcome} for want of {names}, which the module has"
            yield Reason(kind=Kind.ERROR, code="absence", message=message, run=result.run, check=result.check)


def something_is_in_this_version(evidence: Evidence) -> Iterator[Reason]:
    """Not all selected checks are about what this version of the module lacks."""
    outcomes = {result.outcome for result in _of_checks(evidence.checks)}
    if Outcome.ABSENT in outcomes and outcomes <= set(_UNASKED):
        names = dict.fromkeys(name for result in evidence.checks for name in result.lacks)
        message = f"no selected check is about this version: it lacks {', '.join(names)}"
        yield Reason(kind=Kind.UNJUDGEABLE, code="all-absent", message=message)


def broke_off(run: RunEvidence) -> bool:
    """Whether a guest of the run crashed or hung: reason enough that something stayed unread."""
    unexpected = [entry.got for entry in run.exits if entry.got is not entry.expected]
    return any(_MISMATCH[got] in (Kind.CRASH, Kind.TIMEOUT) for got in unexpected)


def never_needed(run: RunEvidence, results: tuple[CheckResult, ...]) -> bool:
    """Whether all checks of a run were skipped before it had an image or a guest; that is no PASS either."""
    return _all_skipped(results) and run.guests_booted == 0 and not run.exits


def _of_checks(results: Iterable[CheckResult]) -> list[CheckResult]:
    """The results of checks; what was found beside them shows that no check looked at anything."""
    return [result for result in results if result.source is Source.CHECK]


def _all_skipped(results: Iterable[CheckResult]) -> bool:
    """Whether there were checks, and all of them were skipped."""
    made = _of_checks(results)
    return bool(made) and all(result.outcome is Outcome.SKIPPED for result in made)


def stopped_at_layout(run: RunEvidence) -> bool:
    """Whether a run ended before its first guest because the layout already settled it."""
    return run.layout.dwarf is Witness.DIFFERS and run.guests_booted == 0 and not run.exits


_OF_A_BOOTED_RUN: tuple[Callable[[RunEvidence], Iterator[Reason]], ...] = (
    guests_ended_as_expected,
    dumps_are_whole,
    selftest_is_complete,
    invariants_saw_frames,
)
_OF_A_BOOTED_RUN_OF_A_CONTRACT: tuple[
    Callable[[RunEvidence, Evidence, Contract, Baseline], Iterator[Reason]], ...
] = (
    dump_was_compared,
    every_invariant_was_evaluated,
)
_OF_ALL: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (
    troubles,
    subject_is_identified,
    every_planned_run_happened_once,
    every_check_belongs_to_a_run,
    checks_came_to_an_end,
    checks_could_judge,
    absence_is_known,
    something_is_in_this_version,
)


def reasons_against(evidence: Evidence, contract: Contract, baseline: Baseline) -> Iterator[Reason]:
    """Everything but violated clauses that stands against a PASS."""
    for of_all in _OF_ALL:
        yield from of_all(evidence)
    yield from every_check_speaks_of_the_contract(evidence, contract.clauses)
    for run in evidence.runs:
        results = tuple(result for result in evidence.checks if result.run == run.run)
        if never_needed(run, results):
            yield from plan_is_complete(run, results)
            continue
        if not stopped_at_layout(run):
            yield from plan_is_complete(run, results)
            yield from plan_names_every_clause(run, evidence)
        yield from _against_run(run, evidence, contract, baseline)


def reasons_against_runs(evidence: Evidence, contract: Contract) -> Iterator[Reason]:
    """What stands against a PASS whatever the checks say: of subject, images, guests, witnesses."""
    yield from troubles(evidence)
    for run in evidence.runs:
        yield from _against_run(run, evidence, contract, EMPTY)


def _against_run(
    run: RunEvidence, evidence: Evidence, contract: Contract, baseline: Baseline
) -> Iterator[Reason]:
    reasons = list(run_is_identified(run, evidence))
    reasons += layout_witnesses_agree(run)
    if not stopped_at_layout(run):
        for of_run in _OF_A_BOOTED_RUN:
            reasons += of_run(run)
        for of_contract in _OF_A_BOOTED_RUN_OF_A_CONTRACT:
            reasons += of_contract(run, evidence, contract, baseline)
    if any(trouble.run == run.run and trouble.outcome in _BROKEN_OFF for trouble in evidence.errors):
        # The trouble stands against a PASS already, and says why nothing of this was read.
        reasons = [reason for reason in reasons if reason.code not in _UNREAD]
    yield from reasons
