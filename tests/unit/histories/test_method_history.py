"""A sequence of calls is shortened to what shows the same, whatever fewer calls come to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestFailure, GuestTimeout
from frame_harness.histories import method_history
from frame_harness.histories.method_stage import MethodCall, Wrong
from tests.tiny_contract.contract import TINY

CALLS = tuple(MethodCall(number, 0, "take", (number,)) for number in range(4))


def wrong(calls: Sequence[MethodCall]) -> Wrong:
    return Wrong("TINY-03", tuple(calls), ClauseViolated("owner", expected="1", got="2"), ("a line",))


class EndsUnlessLong:
    """A stage on which fewer calls than some end the guest."""

    least = 3
    end: type[GuestFailure] = GuestCrashed

    def __init__(self, guest: Any, *_: object) -> None:
        self._guest = guest

    def play(self, calls: Sequence[MethodCall]) -> Wrong | None:
        if len(calls) < self.least:
            self._guest.commands.append("the last one")
            raise self.end("guest", detail="it is gone")
        return wrong(calls)


@pytest.mark.parametrize(
    ("end", "least", "n_calls", "in_full", "n_guests"),
    [
        pytest.param(GuestCrashed, 3, 3, False, 12, id="fewer-crash"),
        pytest.param(GuestCrashed, 5, 4, True, 1, id="all-crash"),
        pytest.param(GuestTimeout, 3, 4, False, 2, id="fewer-hang"),
        pytest.param(GuestTimeout, 5, 4, True, 1, id="all-hang"),
    ],
)
def test_what_was_found_is_told_though_fewer_calls_end_the_guest(
    end: type[GuestFailure],
    least: int,
    n_calls: int,
    in_full: bool,
    n_guests: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that hangs takes long, so that one is enough."""

    def guest() -> Any:
        guests.append(SimpleNamespace(image=image, commands=list[str]()))
        return guests[-1]

    image = SimpleNamespace(subject=SimpleNamespace(contract=TINY), lacks=())
    guests = list[Any]()
    monkeypatch.setattr(EndsUnlessLong, "least", least)
    monkeypatch.setattr(EndsUnlessLong, "end", end)
    monkeypatch.setattr(method_history, "MethodStage", EndsUnlessLong)
    monkeypatch.setattr(method_history, "_found", lambda *_: wrong(CALLS))
    kernel = guest()

    def fresh() -> Any:
        return contextlib.nullcontext(guest())

    with pytest.raises(ClauseViolated) as raised:
        method_history.check(kernel, fresh, "TINY-03", 4, seed=1)
    assert f", after {n_calls - 1} calls:" in str(raised.value)
    assert (raised.value.breaks, bool(raised.value.exhibit)) == (("TINY-03",), in_full)
    assert len(guests) - 1 == n_guests
    assert (guests[0].commands, guests[-1].commands) == (["a line"], ["a line"])
