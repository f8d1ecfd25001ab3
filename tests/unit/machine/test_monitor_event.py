"""Proves that an event of QEMU's monitor is read whatever it lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from frame_harness.machine.monitor_event import MonitorEvent, monitor_events

STAMP = {"seconds": 1_700_000_000, "microseconds": 250_000}
AT = datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)


def test_event_is_read_with_its_reason_and_time() -> None:
    data = {"guest": True, "reason": "guest-reset"}
    [event] = monitor_events([{"event": "SHUTDOWN", "data": data, "timestamp": STAMP}])
    assert event == MonitorEvent("SHUTDOWN", "guest-reset", AT)
    assert str(event) == "SHUTDOWN guest-reset"


@pytest.mark.parametrize(
    "event",
    [
        {"event": "STOP"},
        {"event": "STOP", "data": None, "timestamp": {"seconds": -1, "microseconds": -1}},
        {"event": "STOP", "data": {}, "timestamp": {"seconds": "now"}},
    ],
)
def test_event_without_reason_or_time_is_shown_by_its_name(event: dict[str, Any]) -> None:
    assert [str(one) for one in monitor_events([event])] == ["STOP"]
