"""What is said of a command that did not come to its end, and what a check makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frame_harness.concurrency.two_cpus import FIRST, SECOND
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestTimeout
from frame_harness.machine.debugger import DebuggerError, GuestEnded, NoStop
from frame_harness.races.stage import Stage

S_RACES: Any = import_module("tests.contract.test_s_races")


class Silent:
    """A debugger that tells where no CPU stands, but for some."""

    def __init__(self, error: Exception, rips: Mapping[int, int]) -> None:
        self._error, self._rips = error, rips

    def rip(self, cpu: int) -> int:
        if cpu not in self._rips:
            raise self._error
        return self._rips[cpu]


def stage_with(error: Exception, **rips: int) -> Stage:
    """A stage in whose guest nothing runs."""
    stage: Any = object.__new__(Stage)
    stage._debugger = Silent(error, {int(cpu.removeprefix("cpu")): rip for cpu, rip in rips.items()})
    stage._both = SimpleNamespace(threads={FIRST: FIRST, SECOND: SECOND})
    cells = {cpu: np.frombuffer(f"command {cpu}\0".encode(), np.uint8) for cpu in (FIRST, SECOND)}
    stage._cells = {cpu: {"line": cell} for cpu, cell in cells.items()}
    stage._idle, stage._begins, stage.failed = 0x10, 0x20, 0
    stage.kernel = SimpleNamespace(
        image=SimpleNamespace(symbolize=lambda rip: f"slot.rs:{rip}"),
        failure=GuestCrashed("guest gone", detail="QEMU ended"),
    )
    return stage  # type: ignore[no-any-return]


@pytest.mark.parametrize("error", [GuestEnded("debugger", "answer"), DebuggerError("debugger", "answer")])
@pytest.mark.parametrize(
    ("rips", "places"),
    [({}, ""), ({"cpu2": 7}, ": it stands at slot.rs:7"), ({"cpu2": 7, "cpu1": 9}, "command 1 waits, too")],
)
def test_a_command_that_hangs_is_told_where_nobody_can_say_any_more_where_it_stands(
    error: Exception, rips: dict[str, int], places: str
) -> None:
    stage = stage_with(error, **rips)
    with (
        pytest.raises(GuestTimeout, match="command 2: it does not come to its end") as raised,
        stage._told(SECOND),
    ):
        raise NoStop("debugger", "cpu 2")
    assert places in raised.value.summary and ("slot.rs" in raised.value.summary) == bool(rips)
    assert stage.failed == SECOND


@pytest.mark.parametrize("cpu", [FIRST, SECOND])
def test_the_cpu_whose_command_ended_the_guest_is_named(cpu: int) -> None:
    stage = stage_with(GuestEnded("debugger", "answer"))
    with pytest.raises(GuestCrashed, match="guest gone"), stage._told(cpu):
        raise GuestEnded("debugger", "guest")
    assert stage.failed == cpu


# ---- in a check -------------------------------------------------------------------------------------------

OWN, OTHER = "ALLOC-02", "ALLOC-09"
DIAGRAM = SimpleNamespace(expected="both", got="none", hold=SimpleNamespace(field="flags"))


def race(clause: str, what: str, *, remembered: bool = False) -> SimpleNamespace:
    return SimpleNamespace(
        clause=clause, remembered=remembered, fatal=False, unordered="QEMU ended", slot=b"s", frame=None,
        at="", function="Slot::b", diagram=SimpleNamespace(**vars(DIAGRAM), what=what),
    )  # fmt: skip


@dataclass
class Guests:
    """Races as they are found, in place of a guest."""

    found: list[SimpleNamespace | None]
    judged: list[object] = field(default_factory=list)

    def explorer(self) -> Guests:
        return self

    def require_plays(self, _: str) -> None:
        """There are some."""

    def plays(self, _: str) -> Iterator[int]:
        yield from range(len(self.found))

    def judge(self, play: int) -> SimpleNamespace | None:
        self.judged.append(play)
        return self.found[play]

    def recorded(self, race: SimpleNamespace) -> SimpleNamespace:
        return race

    def end(self) -> None:
        raise AssertionError("no race was fatal")


def raised_by(*found: SimpleNamespace | None) -> ClauseViolated:
    guests = Guests(list(found))
    with pytest.raises(ClauseViolated) as raised:
        S_RACES.test_two_operations_at_once_are_one_after_the_other(OWN, guests, None)
    assert guests.judged == list(range(len(found)))
    return raised.value


def test_an_end_that_is_remembered_of_another_clause_hides_no_race_of_this_one() -> None:
    error = raised_by(race(OTHER, "first", remembered=True), None, race(OWN, "second"), race(OWN, "third"))
    assert not isinstance(error, OtherClauseViolated)
    assert error.what == "second" and "third" in error.exhibit and "first" not in error.exhibit


def test_an_end_of_another_clause_is_told_with_all_that_is_known_of_it() -> None:
    error = raised_by(race(OTHER, "first", remembered=True), None)
    assert isinstance(error, OtherClauseViolated) and error.clause == OTHER
    assert (error.function, error.at, error.slot) == ("Slot::b", "", b"s")
    assert "the accesses were not recorded: QEMU ended" in error.exhibit
