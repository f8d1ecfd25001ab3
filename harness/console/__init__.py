"""Talks with the kernel in the guest over its serial console."""

from harness.console.channel import Answer, Channel, Ending, GuestCrashed, GuestGone
from harness.console.protocol import Banner, CrashReport, Fields, Reply
from harness.console.stream import Watch
from harness.console.transcript import Transcript

__all__ = [
    "Answer",
    "Banner",
    "Channel",
    "CrashReport",
    "Ending",
    "Fields",
    "GuestCrashed",
    "GuestGone",
    "Reply",
    "Transcript",
    "Watch",
]
