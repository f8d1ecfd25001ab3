"""A QEMU counts as stalled from its last sign of life on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from frame_harness.machine import stall
from frame_harness.machine.stall import StallWatch


def test_cpu_time_or_another_sign_of_life_begins_the_wait_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(stall, "time", SimpleNamespace(monotonic=lambda: now.s))
    watch = StallWatch(1.0)
    now.s = 103.0
    assert watch.look(1.0005) == 3.0  # a thread that only looked around
    assert watch.look(1.1) == 0.0
    now.s = 107.0
    assert watch.look(1.1) == 4.0
    watch.alive()
    now.s = 109.0
    assert watch.look(1.1) == 2.0
    watch.renew(0.0)
    now.s = 110.0
    assert watch.look(0.0) == 1.0
