"""The facts that must all hold for a PASS, each giving the reasons why it does not."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from frame_harness.base.guest_end import GuestEnd
from frame_harness.contract.contract import Contract
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    Level,
    Outcome,
    RunEvidence,
    Witness,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.of_checks import (
    absence_is_known,
    checks_came_to_an_end,
    checks_could_judge,
    every_check_belongs_to_a_run,
    every_check_speaks_of_the_contract,
    none_made,
    plan_is_complete,
    something_is_in_this_version,
)
from frame_harness.judge.reason import BROKEN_OFF, KIND_OF_BROKEN_OFF, Reason, ReasonCode

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BUILD_ID = re.compile(r"[0-9a-f]{8,}")
_KIND_OF_END = {
    GuestEnd.FAIL: VerdictKind.FAIL,
    GuestEnd.TIMEOUT: VerdictKind.TIMEOUT,
    GuestEnd.KILLED: VerdictKind.ERROR,
    GuestEnd.SIGNALED: VerdictKind.ERROR,
    GuestEnd.REFUSED: VerdictKind.ERROR,
} | {end: VerdictKind.CRASH for end in GuestEnd if end.is_crash}
_UNREAD = (
    ReasonCode.LAYOUT_UNREAD,
    ReasonCode.NO_SELFTEST,
    ReasonCode.NO_INVARIANTS,
    ReasonCode.INVARIANTS_MISSING,
    ReasonCode.NO_DUMP,
)
"""Reasons that a run gives only because it broke off before its first check."""


def troubles(evidence: Evidence) -> Iterator[Reason]:
    """Whatever kept the harness from its work; a version that lacks what was asked for is unjudgeable."""
    for trouble in evidence.errors:
        absent = trouble.outcome is Outcome.ABSENT
        message = trouble.message if absent else f"{trouble.what}: {trouble.message}"
        kind = (
            VerdictKind.UNJUDGEABLE if absent else KIND_OF_BROKEN_OFF.get(trouble.outcome, VerdictKind.ERROR)
        )
        yield Reason(kind=kind, code=ReasonCode.TROUBLE, message=message, run=trouble.run)


def subject_is_identified(evidence: Evidence) -> Iterator[Reason]:
    """The subject has a sha256 in 64 lower-case hexadecimal digits."""
    if not _SHA256.fullmatch(evidence.subject.sha256):
        got = repr(evidence.subject.sha256)
        yield Reason(
            kind=VerdictKind.ERROR, code=ReasonCode.SUBJECT, message=f"subject: expected a sha256, got {got}"
        )


def every_planned_run_happened_once(evidence: Evidence) -> Iterator[Reason]:
    """Some run was planned, and each happened once, unless a trouble says why it did not."""
    if not evidence.planned_runs and not evidence.errors:
        message = "no run was planned"
        if evidence.selection:
            message = f"no check matches -k {evidence.selection!r}: `clauses` lists ids and checks"
        yield Reason(kind=VerdictKind.NO_TESTS, code=ReasonCode.NO_RUNS, message=message)
    explained = {trouble.run for trouble in evidence.errors}
    planned, happened = Counter(evidence.planned_runs), Counter(run.run for run in evidence.runs)
    for key in dict.fromkeys([*planned, *happened]):
        if key in explained and not happened[key]:
            continue
        if planned[key] != 1 or happened[key] != 1:
            message = f"run: planned {planned[key]} times, happened {happened[key]} times"
            yield Reason.of_run(VerdictKind.ERROR, ReasonCode.RUNS, key, message)


def run_is_identified(run: RunEvidence, evidence: Evidence) -> Iterator[Reason]:
    """The image has a sha256 and a build-id, and was built of the subject that is judged."""
    if not _SHA256.fullmatch(run.image_sha256) or not _BUILD_ID.fullmatch(run.build_id):
        message = f"image: expected sha256 and build-id, got {run.image_sha256!r} and {run.build_id!r}"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.IMAGE, run.run, message)
    if run.subject_sha256 != evidence.subject.sha256:
        built, now = run.subject_sha256[:12] or "nothing", evidence.subject.sha256[:12] or "nothing"
        message = f"subject: expected {now}, got {built}: the file changed while it was judged"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.SUBJECT_CHANGED, run.run, message)


def guests_ended_well(run: RunEvidence) -> Iterator[Reason]:
    """Some guest was booted, and each ended well."""
    if run.guests_booted < 1:
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.NO_GUEST, run.run, "guests: none booted")
    ended = sum(entry.count for entry in run.exits)
    if ended != run.guests_booted or any(entry.count < 1 for entry in run.exits):
        message = f"guests: {run.guests_booted} booted, exit status known of {ended}"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.GUESTS, run.run, message)
    for entry in run.exits:
        if entry.got is not GuestEnd.PASS:
            text = f" ({entry.text})" if entry.text else ""
            times = f" {entry.count} times" if entry.count > 1 else ""
            message = f"exit: expected {GuestEnd.PASS}, got {entry.got}{times}{text}"
            yield Reason.of_run(_KIND_OF_END[entry.got], ReasonCode.EXIT, run.run, message)


def layout_witnesses_agree(run: RunEvidence, contract: Contract) -> Iterator[Reason]:
    """DWARF and guest bytes were read and equal the contract, unless the layout ended the run.

    Of a contract that has no layout they equal each other.
    """
    layout = run.layout
    unpromised = layout.dwarf is Witness.UNPROMISED
    compared = layout.dwarf is Witness.EQUAL
    if (unpromised if contract.layouts else compared) or layout.guest_bytes is Witness.UNPROMISED:
        has = "a layout" if contract.layouts else "no layout"
        message = f"layout: the contract has {has}, DWARF is {layout.dwarf}, guest bytes {layout.guest_bytes}"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.LAYOUT_UNREAD, run.run, message)
    if layout.dwarf is Witness.DIFFERS:
        message = "layout: DWARF differs from the contract"
        yield Reason.of_run(VerdictKind.FAIL, ReasonCode.LAYOUT, run.run, message)
    elif layout.guest_bytes is Witness.DIFFERS:
        other = "guest bytes say otherwise" if unpromised else "DWARF equals the contract, guest bytes do not"
        message = f"layout: witnesses disagree: {other}" + (f": {layout.text}" if unpromised else "")
        yield Reason.of_run(VerdictKind.FAIL, ReasonCode.LAYOUT_WITNESS, run.run, message)
    if Witness.UNREAD in (layout.dwarf, layout.guest_bytes) and not stopped_at_layout(run):
        why = f": {layout.text}" if layout.text else ""
        message = f"layout: DWARF {layout.dwarf}, guest bytes {layout.guest_bytes}{why}"
        kind = VerdictKind.NO_TESTS if broke_off(run) or why else VerdictKind.ERROR
        yield Reason.of_run(kind, ReasonCode.LAYOUT_UNREAD, run.run, message)


def dumps_are_whole(run: RunEvidence) -> Iterator[Reason]:
    """Each dump that was requested arrived whole and says the same as guest RAM.

    Both are the harness's own sources: where they differ, one of them is wrong, and nothing is known.
    """
    dumps = run.dumps
    if dumps.whole != dumps.requested:
        message = f"dumps: {dumps.requested} requested, {dumps.whole} whole"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.DUMPS, run.run, message)
    if dumps.contradicted:
        message = f"dumps: {dumps.contradicted} of {dumps.requested} say other than guest RAM"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.DUMP_WITNESS, run.run, message)


def dump_was_compared(
    run: RunEvidence, evidence: Evidence, contract: Contract, baseline: Baseline
) -> Iterator[Reason]:
    """Where a guest prints its slots, it was asked to: else the console says nothing about them."""
    if contract.dumped and run.dumps.requested < 1 and not _memory_is_broken(run, evidence, baseline):
        message = "dumps: none requested, so the console was never compared with guest RAM"
        yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.NO_DUMP, run.run, message)


def selftest_is_complete(run: RunEvidence) -> Iterator[Reason]:
    """The guest's self-test had a plan, and each test of it passed."""
    test = run.selftest
    if test.plan < 1:
        yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.NO_SELFTEST, run.run, "selftest: planned 0")
    if min(test.passed, test.failed) < 0 or test.passed + test.failed != test.plan:
        message = f"selftest: planned {test.plan}, passed {test.passed}, failed {test.failed}"
        yield Reason.of_run(VerdictKind.ERROR, ReasonCode.SELFTEST_INCOMPLETE, run.run, message)
    if test.failed:
        message = f"selftest: {test.failed} of {test.plan} failed"
        yield Reason.of_run(VerdictKind.FAIL, ReasonCode.SELFTEST, run.run, message)


def invariants_saw_frames(run: RunEvidence) -> Iterator[Reason]:
    """Some invariant was evaluated, and each of them looked at something."""
    if not run.invariants:
        message = "invariants: none evaluated"
        yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.NO_INVARIANTS, run.run, message)
    for name, frames in run.invariants.items():
        if frames < 1:
            message = f"invariant: {name}: looked at nothing"
            yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.EMPTY_INVARIANT, run.run, message)


def every_invariant_was_evaluated(
    run: RunEvidence, evidence: Evidence, contract: Contract, baseline: Baseline
) -> Iterator[Reason]:
    """All that the contract has, but for those whose clauses all speak of what this version lacks."""
    if not run.invariants or _memory_is_broken(run, evidence, baseline):
        return
    missing = [
        id_
        for id_, invariant in contract.invariants.items()
        if id_ not in run.invariants and not contract.versions.are_absent(invariant.clauses, evidence.lacks)
    ]
    if missing:
        message = f"invariants: {len(missing)} of {len(contract.invariants)} not evaluated: "
        message += ", ".join(missing)
        yield Reason.of_run(VerdictKind.NO_TESTS, ReasonCode.INVARIANTS_MISSING, run.run, message)


def _memory_is_broken(run: RunEvidence, evidence: Evidence, baseline: Baseline) -> bool:
    """Whether memory as a whole was found broken before the first check: then nothing more is read of it.

    A finding that the baseline knows stands against no PASS, so it excuses nothing.
    """
    return run.layout.dwarf is Witness.DIFFERS or any(
        result.run == run.run
        and result.level is Level.MEMORY
        and result.outcome is Outcome.VIOLATED
        and any(baseline.entry(id_, result) is None for id_ in result.broken)
        for result in evidence.checks
    )


def broke_off(run: RunEvidence) -> bool:
    """Whether a guest of the run crashed or hung: reason enough that something stayed unread."""
    return any(_KIND_OF_END.get(entry.got) in (VerdictKind.CRASH, VerdictKind.TIMEOUT) for entry in run.exits)


def never_needed(run: RunEvidence, results: tuple[CheckResult, ...]) -> bool:
    """Whether all checks of a run were skipped before it had an image or a guest; that is no PASS either."""
    return none_made(results) and run.guests_booted == 0 and not run.exits


def stopped_at_layout(run: RunEvidence) -> bool:
    """Whether a run ended before its first guest because the layout already settled it."""
    return run.layout.dwarf is Witness.DIFFERS and run.guests_booted == 0 and not run.exits


_OF_A_BOOTED_RUN: tuple[Callable[[RunEvidence], Iterator[Reason]], ...] = (
    guests_ended_well,
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
        if not stopped_at_layout(run):
            yield from plan_is_complete(run.run, evidence.plan, results)
        if not never_needed(run, results):
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
    reasons += layout_witnesses_agree(run, contract)
    if not stopped_at_layout(run):
        for of_run in _OF_A_BOOTED_RUN:
            reasons += of_run(run)
        for of_contract in _OF_A_BOOTED_RUN_OF_A_CONTRACT:
            reasons += of_contract(run, evidence, contract, baseline)
    if any(trouble.run == run.run and trouble.outcome in BROKEN_OFF for trouble in evidence.errors):
        # The trouble stands against a PASS already, and says why nothing of this was read.
        reasons = [reason for reason in reasons if reason.code not in _UNREAD]
    yield from reasons
