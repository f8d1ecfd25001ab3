"""Follows the frame pointers of a stopped guest through its RAM; says what comes of it line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from frame_harness.base.errors import RamError
from frame_harness.base.units import KERNEL_VMA, Vaddr, vaddr_to_paddr
from frame_harness.image.code_at import CodeAt
from frame_harness.machine.ram import GuestRam

DEEPEST = 32  # calls; a chain that is longer is none
HIGHER_HALF = 1 << 63

Read = Callable[[Vaddr], int | None]


@dataclass(frozen=True)
class BacktraceLine:
    """One line of a backtrace."""

    text: str
    """For people, with short paths."""
    code: CodeAt | None = None
    """Of the call; None of a line that is no call, such as the name of a CPU."""

    def __str__(self) -> str:
        return self.text


Backtrace = tuple[BacktraceLine, ...]
"""Innermost call first."""


def texts(backtrace: Backtrace) -> tuple[str, ...]:
    """The lines as people read them."""
    return tuple(line.text for line in backtrace)


def calls(backtrace: Iterable[BacktraceLine]) -> list[CodeAt]:
    """The calls of which the source line is known, innermost first."""
    return [line.code for line in backtrace if line.code is not None and line.code.line]


def path_in_module(function: str) -> str:
    """A function's path in the frame module: `MetaSlot::inc_ref`; empty elsewhere."""
    # kernel_shim::memory::buddy::<impl …::Slot for kernel_shim::memory::frame::MetaSlot>::clear_flag_bits
    place, implemented, _ = function.partition("::<impl ")
    if implemented and "memory::frame::" not in f"{place}::":
        return ""
    _, module, path = re.sub(r"[<>]", "", function).rpartition("memory::frame::")
    return path if module else ""


def reader(ram: GuestRam, hhdm: Vaddr | None) -> Read:
    """Read a word at a virtual address: of the kernel image, of the HHDM where that is known, else identity.

    What is not RAM reads as None.
    """

    def read(vaddr: Vaddr) -> int | None:
        base = Vaddr(0)
        if vaddr >= KERNEL_VMA:
            base = KERNEL_VMA
        elif vaddr >= HIGHER_HALF:
            if hhdm is None or vaddr < hhdm:
                return None
            base = hhdm
        try:
            return int.from_bytes(ram.view(vaddr_to_paddr(vaddr, base), 8).tobytes(), "little")
        except RamError:
            return None

    return read


def return_addresses(frame: Vaddr, read: Read) -> list[Vaddr]:
    """Return addresses, innermost first, from the value of a frame pointer, which may be anything.

    `[frame]` is the caller's frame, `[frame + 8]` the return address (System V ABI, AMD64 supplement, 3.2.2).
    Stacks grow down: a caller's frame lies higher, or the chain is over. Only the kernel is returned to.
    """
    found: list[Vaddr] = []
    while frame % 8 == 0 and len(found) < DEEPEST:
        caller, address = read(frame), read(Vaddr(frame + 8))
        if caller is None or address is None or address < KERNEL_VMA:
            break
        found.append(Vaddr(address))
        if caller <= frame:
            break
        frame = Vaddr(caller)
    return found
