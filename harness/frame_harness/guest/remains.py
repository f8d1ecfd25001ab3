"""What is left of a guest that is gone, for those who have nothing but the error that told its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from frame_harness.base.errors import HarnessError
from frame_harness.console.channel import Channel
from frame_harness.console.transcript import Transcript
from frame_harness.guest.command_log import CommandLog
from frame_harness.image.image import Image
from frame_harness.machine.guest import Guest
from frame_harness.machine.monitor_event import MonitorEvent


@dataclass(frozen=True, eq=False)
class Remains:
    """What a guest that is gone said and was sent; its memory is given back."""

    image: Image
    argv: tuple[str, ...]
    transcript: Transcript
    registers: tuple[str, ...]
    """Of every CPU, as QEMU printed them; empty where it could not."""
    log: CommandLog | None
    """Of its commands; None of one that never came to its prompt."""
    events: tuple[MonitorEvent, ...] = ()
    """That QEMU's monitor reported."""


_LEFT: Final[WeakKeyDictionary[HarnessError, Remains]] = WeakKeyDictionary()
_GUESTS: Final[WeakKeyDictionary[HarnessError, object]] = WeakKeyDictionary()


def leave(
    error: HarnessError, guest: Guest, channel: Channel, image: Image, log: CommandLog | None = None
) -> None:
    """Keep what is left of a guest as long as somebody has the error that tells of its end."""
    text = guest.timeout.registers if guest.timeout else ""
    lines = tuple(text.replace("\r", "").splitlines())
    _LEFT[error] = Remains(image, tuple(guest.argv), channel.transcript, lines, log, guest.events(ask=False))


def leave_guest(error: HarnessError, guest: object) -> None:
    """Keep a guest, with all of its memory, until somebody takes it, or as long as the error lives."""
    _GUESTS[error] = guest


def taken_guest(error: BaseException | None) -> object | None:
    """The guest that was kept with an error, once."""
    return _GUESTS.pop(error, None) if isinstance(error, HarnessError) else None


def remains_of(error: BaseException | None) -> Remains | None:
    """What is left of the guest that an error, or what it came of, tells of; None where it tells of none."""
    while error is not None:
        if isinstance(error, HarnessError) and (left := _LEFT.get(error)):
            return left
        error = error.__cause__
    return None
