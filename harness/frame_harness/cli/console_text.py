"""What a guest answered, as a person at the console reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from frame_harness.cli.console_host import HELP, HIDDEN
from frame_harness.console.protocol import has_mark
from frame_harness.contract.layout import RESERVED
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.reply import Reply

_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]+$")
_OF_A_FRAME = "payload."
"""Begins the commands that show bytes of frames, of which some may be as long as a slot."""


def answer_lines(reply: Reply, slot: np.dtype[np.void]) -> Iterator[str]:
    """The data lines, the answer, the backtrace of a panic; slots by their fields.

    Args:
        slot: the subject's `MetaSlot`.
    """
    for line in (*reply.data, reply.shown):
        yield line if _OF_A_FRAME in reply.request else _with_slot_fields(line, slot)
    yield from (f"  {entry}" for entry in reply.backtrace)


def with_host_commands(reply: Reply) -> Reply:
    """What `help` says of the guest's commands, with those of the host; any other reply as it is."""
    name, _, prefix = reply.request.partition(" ")
    if name != "help" or reply.status != "ok":
        return reply
    own = (line for line in HELP if line.startswith(prefix.strip()))
    return replace(reply, data=(*own, *(line for line in reply.data if not line.startswith(HIDDEN))))


def failure_lines(failure: GuestFailure) -> Iterator[str]:
    """How the guest ended, where its CPUs were, what it printed itself; the protocol is shown decoded."""
    yield failure.summary
    yield from (f"  {entry}" for entry in (*failure.registers, *failure.backtrace))
    printed = [line for line in failure.console_tail if not has_mark(line)]
    if printed:
        yield "printed last:"
        yield from (f"  {line}" for line in printed)


def slot_fields(data: bytes, slot: np.dtype[np.void]) -> str:
    """`next=0x… refcount=0x1 …`; reserved bytes only where they are not zero."""
    row = np.frombuffer(data, slot)[0]
    words = []
    for name in slot.names or ():
        value = row[name]
        number = isinstance(value, np.integer)
        shown = f"{int(value):#x}" if number else np.asarray(value).tobytes().hex()
        if RESERVED not in name or shown.strip("0x"):
            words.append(f"{name}={shown}")
    return " ".join(words)


def _with_slot_fields(line: str, slot: np.dtype[np.void]) -> str:
    """Show the hex digits of one whole slot at the end of a line by the slot's fields."""
    # ok bytes=ffff…       3 ffff… (three such slots)
    digits = _HEX.search(line)
    if digits is None or len(digits[0]) != 2 * slot.itemsize:
        return line
    head = line[: digits.start()].removesuffix("bytes=").strip()
    times = f"{head} × " if head.isdecimal() else f"{head} " if head else ""
    return times + slot_fields(bytes.fromhex(digits[0]), slot)
