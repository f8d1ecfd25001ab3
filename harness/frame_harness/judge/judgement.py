"""What becomes of one clause."""

from enum import StrEnum

from frame_harness.base.record import Record
from frame_harness.judge.evidence import Outcome


class ClauseOutcome(StrEnum):
    """What is known of a clause after all runs; a known violation is one that the baseline lists."""

    HELD = "held"
    VIOLATED = "violated"
    KNOWN = "known"
    NOT_EVALUATED = "not-evaluated"


class ClauseJudgement(Record, frozen=True, kw_only=True):
    """What became of one clause; `checks` are those that looked at it, each once.

    `lacks` are the names for want of which it is not in this version of the module. Where a check left it
    unevaluated, `ended` is how that check ended, `met` the clauses at which it did, `cause` what it said;
    `message` says the same in words.
    """

    outcome: ClauseOutcome
    checks: tuple[str, ...] = ()
    message: str = ""
    lacks: tuple[str, ...] = ()
    ended: Outcome | None = None
    met: tuple[str, ...] = ()
    cause: str = ""
