"""A replay that hangs, silently or busily, is given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.debugging.replay import Patience
from frame_harness.machine import stall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(wall_s=0.0, cpu_s=0.0)
    monkeypatch.setattr(stall, "time", SimpleNamespace(monotonic=lambda: now.wall_s))
    return now


def patience(clock: Any) -> Patience:
    limits = SimpleNamespace(boot_cpu_s=5.0)
    guest: Any = SimpleNamespace(cpu_time_s=lambda: clock.cpu_s, machine=SimpleNamespace(limits=limits))
    note: Any = SimpleNamespace(cpu_s=1.0)
    return Patience(guest, note, stall_s=10.0)


def test_replay_that_uses_no_cpu_time_is_over_after_a_while(clock: Any) -> None:
    watch = patience(clock)
    clock.wall_s = 9.0
    assert not watch.is_over()
    clock.wall_s, clock.cpu_s = 18.0, 0.1  # a busy host: it got on meanwhile
    assert not watch.is_over()
    clock.wall_s = 29.0
    assert watch.is_over()


def test_replay_that_comes_nowhere_is_over_by_its_cpu_time(clock: Any) -> None:
    watch = patience(clock)
    clock.cpu_s = 15.0
    assert not watch.is_over()
    clock.cpu_s = 15.1
    assert watch.is_over()


def test_each_write_renews_the_patience(clock: Any) -> None:
    watch = patience(clock)
    clock.cpu_s = 14.0
    watch.renew()
    clock.cpu_s = 28.0
    assert not watch.is_over()
