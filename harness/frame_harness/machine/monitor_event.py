"""What QEMU's monitor reported without being asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

PAUSE_EVENTS: Final = frozenset({"RESUME", "STOP"})
"""What QEMU tells of each guest that is paused and continued: nothing about its end."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MonitorEvent(NamedTuple):
    """An event of the QEMU Machine Protocol (QEMU 7.2, qapi/run-state.json)."""

    name: str
    """Such as `SHUTDOWN`, `RESET`, `STOP`, `GUEST_PANICKED`."""
    reason: str = ""
    """What QEMU gives as the cause, such as `guest-reset`; empty where it gives none."""
    at: datetime | None = None
    """By the host's clock; None where QEMU tells none, or one that no date has."""

    def __str__(self) -> str:
        # Without the time: what a report says is the same whenever it is written.
        return f"{self.name} {self.reason}".rstrip()


def monitor_events(events: Iterable[Mapping[str, Any]]) -> tuple[MonitorEvent, ...]:
    """Read events as the monitor sends them; what they lack stays empty."""
    return tuple(
        MonitorEvent(_word(event, "event"), _word(_table(event.get("data")), "reason"), _time(event))
        for event in events
    )


def _word(table: Mapping[str, Any], key: str) -> str:
    word = table.get(key)
    return word if isinstance(word, str) else ""


def _time(event: Mapping[str, Any]) -> datetime | None:
    stamp = _table(event.get("timestamp"))
    seconds, fraction = stamp.get("seconds", -1), stamp.get("microseconds", 0)
    # {"seconds": -1, "microseconds": -1}: QEMU could not read its clock
    if not isinstance(seconds, int) or not isinstance(fraction, int) or min(seconds, fraction) < 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=fraction)
    except OverflowError:
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
