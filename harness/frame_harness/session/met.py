"""What checks meet of clauses that are not their own to judge."""

from __future__ import annotations

from frame_harness.base.record import Record
from frame_harness.judge.evidence import CheckResult


class Met(Record, frozen=True, kw_only=True):
    """A result that a check brought about beside its own.

    `number` is the place of that check in the plan, the same in every process.
    """

    number: int
    result: CheckResult
