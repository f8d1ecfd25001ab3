"""Follows the frame pointers of a stopped guest through its RAM; reads the lines that come of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from frame_harness.base.errors import RamError
from frame_harness.base.units import KERNEL_VMA
from frame_harness.machine.ram import GuestRam

DEEPEST = 32  # calls; a chain that is longer is none
HIGHER_HALF = 1 << 63

Read = Callable[[int], int | None]
# kernel_shim::memory::frame::init_metadata_array+0x1b (/home/me/frame.rs:493)
# kernel_shim::memory::frame::init_metadata_array in kernel_shim::memory::init+0x132 (/home/me/frame.rs:493)
_LINE: Final = re.compile(r"(?P<function>.+?)(?: in .+)?(?:\+0x[0-9a-f]+)? \((?P<file>.+):(?P<line>\d+)\)")


class CodeLine(NamedTuple):
    """One line of a backtrace: the function that the source line belongs to."""

    function: str
    file: str
    line: int

    @property
    def in_module(self) -> str:
        """The function's path in the frame module: `MetaSlot::inc_ref`; empty elsewhere."""
        # kernel_shim::memory::buddy::<impl …::Slot for kernel_shim::memory::frame::MetaSlot>::clear_flag_bits
        place, implemented, _ = self.function.partition("::<impl ")
        if implemented and "memory::frame::" not in f"{place}::":
            return ""
        _, module, path = re.sub(r"[<>]", "", self.function).rpartition("memory::frame::")
        return path if module else ""


def code_line(text: str) -> CodeLine | None:
    """Read a line of a symbolized backtrace; None for one without a source line."""
    found = _LINE.fullmatch(text)
    return CodeLine(found["function"], found["file"], int(found["line"])) if found else None


def short_place(text: str) -> str:
    """A line of a symbolized backtrace as `file:line`, or as it is where it has no source line."""
    found = code_line(text)
    return f"{found.file}:{found.line}" if found else text


def reader(ram: GuestRam, hhdm: int | None) -> Read:
    """Read a word at a virtual address: of the kernel image, of the HHDM where that is known, else identity.

    What is not RAM reads as None.
    """

    def read(vaddr: int) -> int | None:
        base = 0
        if vaddr >= KERNEL_VMA:
            base = KERNEL_VMA
        elif vaddr >= HIGHER_HALF:
            if hhdm is None or vaddr < hhdm:
                return None
            base = hhdm
        try:
            return int.from_bytes(ram.view(vaddr - base, 8).tobytes(), "little")
        except RamError:
            return None

    return read


def return_addresses(frame: int, read: Read) -> list[int]:
    """Return addresses, innermost first, from the value of a frame pointer, which may be anything.

    `[frame]` is the caller's frame, `[frame + 8]` the return address (System V ABI, AMD64 supplement, 3.2.2).
    Stacks grow down: a caller's frame lies higher, or the chain is over. Only the kernel is returned to.
    """
    found: list[int] = []
    while frame % 8 == 0 and len(found) < DEEPEST:
        caller, address = read(frame), read(frame + 8)
        if caller is None or address is None or address < KERNEL_VMA:
            break
        found.append(address)
        if caller <= frame:
            break
        frame = caller
    return found
