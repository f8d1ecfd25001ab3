"""Follows the frame pointers of a stopped guest through its RAM."""

from __future__ import annotations

from collections.abc import Callable

from frame_harness.errors import RamError
from frame_harness.machine.ram import GuestRam
from frame_harness.units import KERNEL_VMA

DEEPEST = 32  # calls; a chain that is longer is none
HIGHER_HALF = 1 << 63

Read = Callable[[int], int | None]


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
