"""Talks with the kernel in the guest over its serial console."""

from frame_harness.console.channel import Answer, Channel, Ending, GuestCrashed, GuestGone
from frame_harness.console.protocol import Banner, CrashReport, Fields, Reply
from frame_harness.console.stream import Watch
from frame_harness.console.transcript import Transcript

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
