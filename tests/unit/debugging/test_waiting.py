"""Proves when the wait for a person's debugger ends, on a guest whose answers a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from frame_harness.base.errors import MachineError
from frame_harness.debugging import waiting
from frame_harness.debugging.waiting import until_attached, until_left, until_looked
from frame_harness.machine.monitor_event import MonitorEvent


@dataclass
class Told:
    """A guest that says these things, one a look; then it has ended."""

    attached: list[bool] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    looks: int = 0

    @property
    def process(self) -> Told:
        return self

    def ended(self, _wait_s: float) -> bool:
        self.looks += 1
        return self.looks >= len(self.attached)

    def debugger_attached(self) -> bool:
        return self.attached[min(self.looks, len(self.attached) - 1)]

    def events(self) -> tuple[MonitorEvent, ...]:
        stops = self.stops[min(self.looks, len(self.stops) - 1)] if self.stops else 0
        return (MonitorEvent("RESUME"),) + (MonitorEvent("STOP"),) * stops

    def stderr_text(self) -> str:
        return "qemu: gone"


@pytest.fixture(autouse=True)
def nobody_at_the_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(waiting, "_enter_was_pressed", lambda: False)
    yield


def run(wait: Any, guest: Told) -> int:
    """How many looks it took."""
    wait(guest)
    return guest.looks


def test_the_wait_ends_when_a_debugger_is_connected() -> None:
    assert run(until_attached, Told([False, False, True, True])) == 2


def test_a_debugger_that_came_and_went_between_two_looks_is_noticed() -> None:
    assert run(until_attached, Told([False] * 9, stops=[1, 1, 2])) == 2


def test_a_guest_that_ends_before_a_debugger_comes_is_an_error_with_what_qemu_said() -> None:
    with pytest.raises(MachineError, match="before a debugger came") as caught:
        until_attached(Told([False, False]))  # type: ignore[arg-type]
    assert "qemu: gone" in str(caught.value)


def test_the_wait_for_its_end_is_over_when_it_goes_or_qemu_ends() -> None:
    assert run(until_left, Told([True, True, False, True])) == 2
    assert run(until_left, Told([True, True])) == 2


def test_a_look_ends_only_after_the_debugger_came_and_went() -> None:
    assert run(until_looked, Told([False, False, True, True, False, True])) == 4


def test_enter_ends_a_look_at_which_nobody_came_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_enter_was_pressed", lambda: True)
    assert run(until_looked, Told([False] * 5)) == 1
    assert run(until_looked, Told([True, True, True, False, False])) == 3
