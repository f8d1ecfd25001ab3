"""What became of a task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

from frame_harness.base.record import Record
from frame_harness.campaigns.plan import R


class LossReason(StrEnum):
    """Why a task came to no result."""

    DIED = "died"
    HUNG = "hung"
    MEMORY = "out of memory"


class Lost(Record, frozen=True, kw_only=True):
    """A task whose process died, hung or ran out of memory, twice."""

    reason: LossReason
    detail: str = ""

    @property
    def words(self) -> str:
        """Both, as what is told of the task."""
        how = "ran out of memory" if self.reason is LossReason.MEMORY else str(self.reason)
        return f"its task {how}, twice: {self.detail}".removesuffix(": ")


@dataclass(frozen=True)
class DoneTask(Generic[R]):
    """A task with what became of it."""

    key: str
    result: R | Lost
