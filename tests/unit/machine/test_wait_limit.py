"""Proves how long a CPU that runs alone is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from frame_harness.machine.wait_limit import HALT_LOOK_S, HALT_LOOKS, WaitLimit, now_and_then


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that only goes when it is told to."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def go(seconds: float) -> None:
        nonlocal now
        now += seconds

    return go


def test_a_cpu_is_waited_for_as_long_as_the_limit_says(passes: Callable[[float], None]) -> None:
    limit = WaitLimit(5.0, lambda: False)
    passes(5.0)
    assert not limit.is_over() and limit.why == ""
    passes(0.1)
    assert limit.is_over() and "comes to no breakpoint" in limit.why


def test_a_cpu_that_is_seen_halted_again_and_again_is_not_waited_for(passes: Callable[[float], None]) -> None:
    limit = WaitLimit(1000.0, lambda: True)
    for _ in range(HALT_LOOKS - 1):
        passes(HALT_LOOK_S + 0.01)
        assert not limit.is_over()
    passes(HALT_LOOK_S + 0.01)
    assert limit.is_over() and "no interrupt comes" in limit.why


def test_a_cpu_that_runs_between_two_looks_does_not_halt(passes: Callable[[float], None]) -> None:
    some = [True] * (HALT_LOOKS - 1)
    looks = iter([*some, False, *some])
    limit = WaitLimit(1000.0, lambda: next(looks))
    for _ in range(2 * len(some) + 1):
        passes(HALT_LOOK_S + 0.01)
        assert not limit.is_over()


def test_what_is_done_now_and_then_is_not_done_each_time(passes: Callable[[float], None]) -> None:
    done: list[float] = []
    call = now_and_then(lambda: done.append(time.monotonic()), 2.0)
    for _ in range(4):
        passes(1.5)
        call()
    assert len(done) == 2
