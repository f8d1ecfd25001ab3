"""Makes kernels of a few instructions, so that a machine is tested without the kernel it is meant for."""

from __future__ import annotations

import struct
from pathlib import Path

from frame_harness.base.units import Paddr

BASE = 0x100000  # where the kernel is loaded; 32-bit protected mode, paging off (PVH boot protocol)
NOTE_PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY, xen/include/public/elfnote.h

HALT = b"\xfa\xf4\xeb\xfd"  # cli; again: hlt; jmp again
HALT_ENABLED = b"\xf4\xeb\xfd"  # again: hlt; jmp again (the firmware leaves interrupts disabled, see `doze`)
SPIN = b"\xeb\xfe"  # jmp self
ECHO = bytes.fromhex("66bafd03eca80174fb66baf803eceeebef")  # for ever: send back each byte that COM1 receives
ECHO_POLLS = 4  # where in it the CPU is while there is none: it asks the chip again and again


def say(text: bytes) -> bytes:
    """Write bytes to COM1, without asking whether it is ready: QEMU's chip always is."""
    return b"\x66\xba\xf8\x03" + b"".join(bytes((0xB0, byte, 0xEE)) for byte in text)


def say_for_ever(text: bytes) -> bytes:
    """Write bytes to COM1 again and again."""
    code = say(text)
    return code + b"\xe9" + struct.pack("<i", -(len(code) + 5))


def leave(value: int) -> bytes:
    """Write a byte to the debug-exit port."""
    return b"\x66\xba\xf4\x00\xb0" + bytes([value]) + b"\xee"


def triple_fault() -> bytes:
    """Load an empty interrupt table, then raise an exception."""
    empty = BASE + 0x800  # beyond the code: zeroes of the segment, a table of limit 0
    return b"\x0f\x01\x1d" + struct.pack("<I", empty) + b"\x0f\x0b"


def write_byte(paddr: Paddr, value: int) -> bytes:
    """Store one byte in memory."""
    return b"\xc6\x05" + struct.pack("<IB", paddr, value)


def doze() -> bytes:
    """Mask every interrupt of the two 8259 chips, enable interrupts, halt: nothing ever wakes this CPU."""
    return b"\xb0\xff\xe6\x21\xe6\xa1\xfb" + HALT_ENABLED


def write_kernel(folder: Path, code: bytes) -> Path:
    """Write an ELF file with a PVH entry that holds this code; return its path."""
    note = struct.pack("<III", 4, 4, NOTE_PHYS32_ENTRY) + b"Xen\0" + struct.pack("<I", BASE)
    note_at, code_at, size = 64 + 2 * 56, 0x1000, 0x1000
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, code_at, BASE, BASE, size, size, 0x1000)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(note), len(note), 4)
    path = folder / "tiny.elf"
    path.write_bytes((header + load + notes + note).ljust(code_at, b"\0") + code.ljust(size, b"\0"))
    return path
