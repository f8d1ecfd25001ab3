"""Talks with the kernel in the guest over its serial console."""

from frame_harness.console.channel import Answer, Channel, CrashReported, Ending, GuestGone
from frame_harness.console.protocol import Banner, CrashReport, Fields, ReplyLine
from frame_harness.console.stream import Watch
from frame_harness.console.transcript import Transcript

__all__ = [
    "Answer",
    "Banner",
    "Channel",
    "CrashReport",
    "CrashReported",
    "Ending",
    "Fields",
    "GuestGone",
    "ReplyLine",
    "Transcript",
    "Watch",
]
