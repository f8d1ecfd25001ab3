"""Guests that exit in another way than they are asked to."""

from __future__ import annotations

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.guest.booted import BootedGuest


def end_badly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every guest seem to reset its CPU instead of exiting."""
    finish = BootedGuest.finish

    def ended(self: BootedGuest, how: str = "pass") -> tuple[GuestEnd, str]:
        finish(self, how)
        return GuestEnd.RESET, "the CPU was reset"

    monkeypatch.setattr(BootedGuest, "finish", ended)
