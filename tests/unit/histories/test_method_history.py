"""A sequence of calls is shortened to what shows the same, whatever fewer calls come to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestCrashed
from frame_harness.histories import method_history
from frame_harness.histories.method_stage import MethodCall, Wrong
from tests.tiny_contract.contract import TINY

CALLS = tuple(MethodCall(number, 0, "take", (number,)) for number in range(4))


def wrong(calls: Sequence[MethodCall]) -> Wrong:
    return Wrong("TINY-03", tuple(calls), ClauseViolated("owner", expected="1", got="2"), ("a line",))


class CrashesUnlessLong:
    """A stage on which fewer calls than some end the guest."""

    least = 3

    def __init__(self, guest: Any, *_: object) -> None:
        self._guest = guest

    def play(self, calls: Sequence[MethodCall]) -> Wrong | None:
        if len(calls) < self.least:
            raise GuestCrashed("guest", detail="it is gone")
        return wrong(calls)


@pytest.mark.parametrize(("least", "n_calls", "in_full"), [(3, 3, False), (5, 4, True)])
def test_what_was_found_is_told_though_fewer_calls_end_in_a_crash(
    least: int, n_calls: int, in_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh() -> Any:
        return contextlib.nullcontext(SimpleNamespace(commands=list[str]()))

    monkeypatch.setattr(CrashesUnlessLong, "least", least)
    monkeypatch.setattr(method_history, "MethodStage", CrashesUnlessLong)
    monkeypatch.setattr(method_history, "_found", lambda *_: wrong(CALLS))
    kernel: Any = SimpleNamespace(
        image=SimpleNamespace(subject=SimpleNamespace(contract=TINY), lacks=()), commands=list[str]()
    )
    with pytest.raises(ClauseViolated) as raised:
        method_history.check(kernel, fresh, "TINY-03", 4, seed=1)
    assert f", after {n_calls - 1} calls:" in str(raised.value)
    assert (raised.value.breaks, bool(raised.value.exhibit)) == (("TINY-03",), in_full)
