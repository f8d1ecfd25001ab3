"""One reason against a PASS."""

from __future__ import annotations

from enum import StrEnum

from frame_harness.base.record import Record
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey
from frame_harness.judge.exit_codes import VerdictKind


class ReasonCode(StrEnum):
    """What stands against a PASS, for programs: the value is its word in JSON, and stays."""

    TROUBLE = "trouble"
    SUBJECT = "subject"
    SUBJECT_CHANGED = "subject-changed"
    IMAGE = "image"
    NO_RUNS = "no-runs"
    RUNS = "runs"
    NO_GUEST = "no-guest"
    GUESTS = "guests"
    EXIT = "exit"
    LAYOUT = "layout"
    LAYOUT_WITNESS = "layout-witness"
    LAYOUT_UNREAD = "layout-unread"
    DUMPS = "dumps"
    DUMP_WITNESS = "dump-witness"
    NO_DUMP = "no-dump"
    NO_SELFTEST = "no-selftest"
    SELFTEST = "selftest"
    SELFTEST_INCOMPLETE = "selftest-incomplete"
    NO_INVARIANTS = "no-invariants"
    EMPTY_INVARIANT = "empty-invariant"
    INVARIANTS_MISSING = "invariants-missing"
    NO_CHECKS = "no-checks"
    PLAN = "plan"
    STRAY_CHECK = "stray-check"
    CHECK_CLAUSE = "check-clause"
    CHECK_CRASHED = "check-crashed"
    CHECK_TIMEOUT = "check-timeout"
    CHECK_ERROR = "check-error"
    CHECK_NOT_EVALUATED = "check-not-evaluated"
    ABSENCE = "absence"
    ALL_ABSENT = "all-absent"
    ALL_SKIPPED = "all-skipped"
    VIOLATION = "violation"
    CLAUSE_UNJUDGED = "clause-unjudged"
    INTERRUPTED = "interrupted"


KIND_OF_BROKEN_OFF = {
    Outcome.CRASHED: VerdictKind.CRASH,
    Outcome.TIMEOUT: VerdictKind.TIMEOUT,
    Outcome.ERROR: VerdictKind.ERROR,
}
"""What a verdict is where something came to no end of its own, by how it ended."""
BROKEN_OFF = tuple(KIND_OF_BROKEN_OFF)
"""How something ends that comes to no end of its own."""
CODE_OF_BROKEN_OFF = {
    Outcome.CRASHED: ReasonCode.CHECK_CRASHED,
    Outcome.TIMEOUT: ReasonCode.CHECK_TIMEOUT,
    Outcome.ERROR: ReasonCode.CHECK_ERROR,
}
"""What is said of a check that ended so."""


class Reason(Record, frozen=True, kw_only=True):
    """One fact that stands against a PASS; `code` is stable, for programs.

    `clause` is what `message` begins with, where one clause alone was not judged.
    """

    kind: VerdictKind
    code: ReasonCode
    message: str
    run: RunKey | None = None
    check: str = ""
    clause: str = ""

    @classmethod
    def of_check(cls, kind: VerdictKind, code: ReasonCode, result: CheckResult, message: str) -> Reason:
        """One that a check gave in its run."""
        return cls(kind=kind, code=code, message=message, run=result.run, check=result.check)

    @classmethod
    def of_run(cls, kind: VerdictKind, code: ReasonCode, run: RunKey, message: str) -> Reason:
        """One that stands against a run."""
        return cls(kind=kind, code=code, message=message, run=run)
