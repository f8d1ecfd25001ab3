"""Reads QEMU's log of translated code: which instructions ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from frame_harness.base.errors import HarnessError

# ----------------
# IN: _ZN4main6memory5frame17FrameAllocOptions8allocate17h…E
# 0x00100470:  80 7c 24 10 01           cmpb     $1, 0x10(%rsp)
#
# An instruction of more than 8 bytes goes on in a line with an address of its own, which is inside of it.
_BLOCK: Final = b"IN: "
_INSTRUCTION: Final = re.compile(rb"0x([0-9a-f]+):  ((?:[0-9a-f]{2} )+)")
#      0: v=0e e=0002 i=0 cpl=0 IP=0008:ffffffff8012d175 pc=ffffffff8012d175 SP=0010:… CR2=…
_EXCEPTION: Final = re.compile(rb" *\d+: v=([0-9a-f]{2}) e=[0-9a-f]{4} i=0 .*?\bpc=([0-9a-f]+)")
_NMI, _FIRST_OF_DEVICES = 2, 32
_UNREADABLE: Final = re.compile(rb"^ ?OBJD", re.MULTILINE)


class UnreadableLog(HarnessError):
    """QEMU wrote its log in a form that tells no addresses."""


def executed(log: bytes) -> frozenset[int]:
    """Return addresses in the instructions that ran, at least the first byte's of each.

    QEMU writes a block down before it runs it. A block ends at each branch, and runs to its end unless an
    instruction in it faults: what lies behind that one is left out. Should the block have run whole at
    another time, only what other blocks show of it counts. So nothing is called executed that was not, but
    for what lies behind the write to a port that ends QEMU.

    Args:
        log: of `-d in_asm,int`; exceptions in it belong to its blocks.
    Raises:
        UnreadableLog: this QEMU writes no addresses.
    """
    faults = set(_faults(log))
    found: set[int] = set()
    for block in _blocks(log):
        first_fault = min((at for at in block if at in faults), default=None)
        found.update(at for at in block if first_fault is None or at <= first_fault)
    return frozenset(found)


def _blocks(log: bytes) -> Iterator[list[int]]:
    if _UNREADABLE.search(log):
        raise UnreadableLog(
            "QEMU", "-d in_asm", expected="instructions with their addresses", actual="bytes alone",
            next_step="use a QEMU that was built with Capstone, as Debian's",
        )  # fmt: skip
    block: list[int] = []
    for line in log.splitlines():
        if line.startswith(_BLOCK):
            if block:
                yield block
            block = []
        elif instruction := _INSTRUCTION.match(line):
            block.append(int(instruction[1], 16))
    if block:
        yield block


def _faults(log: bytes) -> Iterator[int]:
    """Return where exceptions came from that an instruction caused; interrupts come between blocks."""
    for line in log.splitlines():
        if found := _EXCEPTION.match(line):
            vector = int(found[1], 16)
            if vector < _FIRST_OF_DEVICES and vector != _NMI:
                yield int(found[2], 16)
