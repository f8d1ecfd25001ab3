"""Waits for a person's debugger; Ctrl-C ends the waiting."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

from frame_harness.base.errors import MachineError
from frame_harness.machine.guest import Guest, live_guests

GLANCE_S: Final = 0.1


def end_guests() -> None:
    """End the guests before anybody asks them to exit: a debugger may hold them."""
    for guest in live_guests():
        guest.kill()


def until_attached(guest: Guest) -> None:
    """Wait until a debugger is connected.

    Raises:
        MachineError: QEMU ended.
    """
    before = _stops(guest)
    while not _came(guest, before):
        if guest.process.ended(GLANCE_S):
            raise MachineError("qemu", detail="it ended before a debugger came", evidence=guest.stderr_text())


def until_left(guest: Guest) -> None:
    """Wait until the debugger has gone, or QEMU has."""
    while guest.debugger_attached():
        if guest.process.ended(GLANCE_S):
            return


def until_looked(guest: Guest) -> None:
    """Wait until a debugger came and went, QEMU ended, or a person at the terminal pressed Enter."""
    before, came = _stops(guest), False
    while not guest.process.ended(GLANCE_S):
        came = came or _came(guest, before)
        if came and not guest.debugger_attached():
            return
        if not came and _enter_was_pressed():
            return


def _came(guest: Guest, before: int) -> bool:
    """Whether a debugger is connected, or was: a guest that one connects to is stopped, and QEMU tells."""
    return guest.debugger_attached() or _stops(guest) > before


def _stops(guest: Guest) -> int:
    return sum(event.name == "STOP" for event in guest.events())


def _enter_was_pressed() -> bool:
    number = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    if number < 0 or not os.isatty(number) or not select.select([number], [], [], 0)[0]:
        return False
    os.read(number, 4096)
    return True
