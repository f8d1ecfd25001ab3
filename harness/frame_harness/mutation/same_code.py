"""Tells whether two kernels are the same program, and two modules order their accesses in the same way."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from frame_harness.image.elf import open_elf, reading

_LOADED: Final = 0x2  # SHF_ALLOC
_BUILD_ID: Final = ".note.gnu.build-id"
_PLACE_BYTES: Final = 8
"""The line and the column in a `core::panic::Location`, behind the file's name."""
_POINTER: Final = struct.Struct("<QQ")
_FUNCTION: Final = re.compile(r"^define [^@\n]*@(\"[^\"]+\"|[\w.$]+)")
#   %7 = load atomic i32, ptr %_3 acquire, align 4, !dbg !1718
# Metadata hold the same words as names of functions, with numbers that change with nearly any edit.
_ATOMIC: Final = re.compile(r"^\s+(?:%\S+ = )?((?:load atomic|store atomic|atomicrmw|cmpxchg|fence)\b.*)")
METHOD: Final = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""A digest of how this module tells: what was told by another one is not compared with."""
_NAMES: Final = re.compile(r"%[\w.]+|%\"[^\"]+\"|, !\w+ ![\d{}]+|, align \d+")


def program_of(elf: Path, sources: Iterable[Path]) -> str:
    """Return a digest of all that a kernel is made of when it is loaded.

    Its build-id is left out, as is in which line and column a source may panic: neither changes what it does.

    Args:
        sources: whose places are left out.
    Raises:
        ImageError: not an ELF file, or a damaged one.
    """
    total = hashlib.sha256()
    with reading(elf):
        sections = [one for one in open_elf(elf).iter_sections() if one["sh_flags"] & _LOADED]
        data = {one["sh_addr"]: bytearray(_data(one)) for one in sections if one.name != _BUILD_ID}
        for address, size in _names(data, [str(path).encode() for path in sources]):
            _forget_places(data.values(), address, size)
        for one in sections:
            total.update(f"{one.name} {one['sh_addr']} {one['sh_size']} {one['sh_flags']}".encode())
            total.update(data.get(one["sh_addr"], b""))
    return total.hexdigest()


def orderings_of(ir: str) -> str:
    """Return a digest of the atomic accesses and fences in LLVM IR, by function, with their orderings."""
    found, function = [], ""
    for line in ir.splitlines():
        if begun := _FUNCTION.match(line):
            function = begun[1]
        elif atomic := _ATOMIC.match(line):
            found.append(f"{function} {_NAMES.sub('', atomic[1])}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def _data(section: Any) -> bytes:
    return b"" if section["sh_type"] == "SHT_NOBITS" else bytes(section.data())


def _names(data: dict[int, bytearray], names: list[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the address and the length of each name in some sections."""
    for start, content in data.items():
        for name in names:
            at = content.find(name)
            while at >= 0:
                yield start + at, len(name)
                at = content.find(name, at + 1)


def _forget_places(sections: Iterable[bytearray], address: int, size: int) -> None:
    """Clear line and column of each place that has a name; some compilers count a zero behind it."""
    for length in (size, size + 1):
        pointer = _POINTER.pack(address, length)
        for content in sections:
            at = content.find(pointer)
            while at >= 0:
                end = at + len(pointer)
                content[end : end + _PLACE_BYTES] = bytes(min(_PLACE_BYTES, len(content) - end))
                at = content.find(pointer, end)
