"""What is read of a guest the moment its check fails, while it stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from frame_harness.archive.memory import NO_PAYLOAD, Payload
from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.console.transcript import TimedLine
from frame_harness.frame_metadata.memory_state import MemoryState, no_pfns
from frame_harness.gathering.frames import frames_concerned, payload_of
from frame_harness.guest.backtrace import Backtrace
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.command_log import Sent
from frame_harness.guest.errors import GuestEndError
from frame_harness.guest.remains import Remains
from frame_harness.image.image import Image
from frame_harness.machine.guest import live_guests
from frame_harness.machine.monitor_event import MonitorEvent

T = TypeVar("T")
ReadState = Callable[[], MemoryState]
"""Reads the memory of a guest, without asking it anything."""


@dataclass
class Taken:
    """One guest as it was."""

    image: Image
    argv: tuple[str, ...]
    console: tuple[TimedLine, ...]
    guest: BootedGuest | None = None
    """That it was read of; None where nobody has it."""
    sent: tuple[Sent, ...] = ()
    left_out: int = 0
    """How many commands before `sent` are not known any more."""
    of_others: int = 0
    """How many of `sent` other checks sent, that had the guest before."""
    registers: tuple[str, ...] = ()
    backtrace: Backtrace = ()
    console_bytes: int = 0
    """That had come by then, those that are not kept any more included."""
    events: tuple[MonitorEvent, ...] = ()
    """That QEMU's monitor had reported by then."""
    pfns: NDArray[np.int64] = field(default_factory=no_pfns)
    """Shape (k,), as `frames_concerned` finds them."""
    state: MemoryState | None = None
    """Its memory, without ranges, which only a guest can tell; None where it could not be read."""
    payload: Payload = NO_PAYLOAD
    died: bool = False
    """It did not survive its last command."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, and why."""

    def tried(self, what: str, work: Callable[[], T]) -> T | None:
        """Do some of the work; what goes wrong with it is noted, and the rest goes on."""
        try:
            return work()
        except Exception as error:
            said = error.summary if isinstance(error, HarnessError) else " ".join(str(error).split())
            self.notes.append(f"no {what}: {type(error).__name__}: {said}")
            return None


def take(guest: BootedGuest, read: ReadState, found_on: Paddr | None, error: BaseException | None) -> Taken:
    """Read everything; nothing is asked of the guest itself, so that it ends as it would have.

    Args:
        read: its memory.
        found_on: address of the finding's frame, where it has one.
        error: what the check failed with.
    """
    sent = tuple(guest.log)
    taken = Taken(
        guest.image, tuple(guest.guest.argv), tuple(guest.channel.transcript.lines()), guest, sent,
        guest.log.n_sent - len(sent), max(0, guest.log.n_before - (guest.log.n_sent - len(sent))),
        died=guest.failure is not None,
    )  # fmt: skip
    failure = guest.failure or error
    if isinstance(failure, GuestEndError):
        taken.backtrace = failure.backtrace
    taken.registers = taken.tried("registers", lambda: _registers(guest)) or ()
    taken.console_bytes = guest.channel.transcript.n_received
    taken.events = guest.guest.events(ask=False)
    taken.state = taken.tried("memory", lambda: read().copied())
    n_frames = taken.state.n_frames if taken.state is not None else guest.frames
    taken.pfns = frames_concerned(found_on, sent, n_frames)
    taken.payload = taken.tried("bytes of frames", lambda: payload_of(guest, taken.pfns)) or NO_PAYLOAD
    return taken


def take_remains(left: Remains, error: BaseException | None) -> Taken:
    """The same of a guest of which nobody has more than the error that told its end."""
    sent = () if left.log is None else tuple(left.log)
    taken = Taken(
        left.image, left.argv, tuple(left.transcript.lines()), sent=sent, registers=left.registers, died=True,
        left_out=0 if left.log is None else left.log.n_sent - len(sent),
        console_bytes=left.transcript.n_received, events=left.events,
    )  # fmt: skip
    if isinstance(error, GuestEndError):
        taken.backtrace = error.backtrace
        taken.registers = taken.registers or error.registers
    why = (
        "the guest did not come to its prompt" if left.log is None else "it ended in a part that checks share"
    )
    taken.notes.append(f"no memory: {why}")
    return taken


def _registers(guest: BootedGuest) -> tuple[str, ...]:
    """Lines about every CPU: as QEMU prints them, or as the guest's own report of its crash has them."""
    machine = guest.guest
    if machine.timeout is not None and machine.timeout.registers:
        return _lines(machine.timeout.registers)
    if isinstance(guest.failure, GuestEndError) and guest.failure.registers:
        return guest.failure.registers
    if machine.timeout is not None:
        raise HarnessError("registers", detail="QEMU did not tell them at the limit, and is not asked again")
    if machine in live_guests() and not machine.process.ended():
        return _lines(machine.hmp("info registers -a"))
    raise HarnessError("registers", detail="the guest's QEMU is gone")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.replace("\r", "").strip("\n").splitlines())
