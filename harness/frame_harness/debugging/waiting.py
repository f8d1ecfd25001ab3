"""Waits for a person's debugger; Ctrl-C ends the waiting."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

from frame_harness.base.errors import MachineError
from frame_harness.machine.guest import Guest

GLANCE_S: Final = 0.1


def until_attached(guest: Guest) -> None:
    """Wait until a debugger is connected.

    Raises:
        MachineError: QEMU ended.
    """
    while not guest.debugger_attached():
        if guest.process.ended(GLANCE_S):
            raise MachineError("qemu", detail="it ended before a debugger came", evidence=guest.stderr_text())


def until_left(guest: Guest) -> None:
    """Wait until the debugger has gone, or QEMU has."""
    while guest.debugger_attached():
        if guest.process.ended(GLANCE_S):
            return


def until_looked(guest: Guest) -> None:
    """Wait until a debugger came and went, QEMU ended, or a person at the terminal pressed Enter."""
    came = False
    while not guest.process.ended(GLANCE_S):
        attached = guest.debugger_attached()
        if came and not attached:
            return
        came = came or attached
        if not came and _enter_was_pressed():
            return


def _enter_was_pressed() -> bool:
    number = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    if number < 0 or not os.isatty(number) or not select.select([number], [], [], 0)[0]:
        return False
    os.read(number, 4096)
    return True
