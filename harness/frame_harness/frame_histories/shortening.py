"""Shortens a history that showed something until it is fit for a person, and writes it as a script."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import attrgetter

from frame_harness.base.errors import HarnessError
from frame_harness.frame_histories.differences import Look
from frame_harness.frame_histories.history import HistoryFailure, play_again
from frame_harness.frame_histories.lockstep import Lockstep
from frame_harness.frame_histories.scripts import FoundOn, Script
from frame_harness.histories.shrink import shrink

_CLAUSE: Callable[[HistoryFailure], Hashable] = attrgetter("clause")


@dataclass(frozen=True)
class Shortened:
    """The shortest history found that shows a fault."""

    failure: HistoryFailure
    script: Script
    length: int
    """Commands of the history that found it first."""

    @property
    def clause(self) -> str:
        """The id of the clause that is broken."""
        return self.failure.clause


def shortest(
    lockstep: Lockstep,
    failure: HistoryFailure,
    name: str,
    key: Callable[[HistoryFailure], Hashable] = _CLAUSE,
) -> HistoryFailure:
    """What the shortest history found shows in a fresh guest; the failure itself where none can be found.

    Args:
        name: of the history.
        key: what the shorter one has to have in common with the failure.
    Raises:
        HarnessError: the fresh guest does not show it.
    """
    if failure.only_in_batch:
        return failure
    short = shrink(failure, lambda steps: play_again(lockstep, steps), key)
    lockstep.renew()
    again = play_again(lockstep, short.steps)
    if again is None or key(again) != key(failure):
        raise HarnessError(
            "history", name, expected=f"{failure.clause} on a fresh guest",
            actual=again.clause if again else "nothing", detail=failure.difference.line,
            next_step="report this: a guest that was reset is not as a fresh one",
        )  # fmt: skip
    return again


def script_of(lockstep: Lockstep, failure: HistoryFailure, name: str, cause: str = "") -> Script:
    """The history of a failure as a file that plays it again.

    Args:
        cause: tells faults apart that break the same clause.
    """
    host = lockstep.host
    last = len(failure.commands) - 1
    where = f" (seen {failure.seen.value})" if failure.seen is Look.AT_THE_END else ""
    return Script(
        machine=host.machine.name,
        layout=host.machine.layout,
        profile=host.image.profile,
        boot_config=lockstep.boot_config,
        commands=failure.commands,
        clause=failure.clause,
        cause=cause,
        seen=failure.difference.line + where,
        subject=FoundOn(host.image.subject.name, host.image.subject.sha256),
        seed=name,
        remarks={last: f"expect {failure.difference.expected_line}"} if failure.commands else {},
    )
