"""Reads the symbol tables of an ELF file, each as one array: pyelftools parses them entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from frame_harness.base.units import Vaddr
from frame_harness.image.errors import ImageError

# System V ABI, edition 4.1 with the ELF-64 object file format, version 1.5, section 9: Elf64_Sym.
_ENTRY: Final = np.dtype(
    [
        ("st_name", "<u4"), ("st_info", "u1"), ("st_other", "u1"), ("st_shndx", "<u2"), ("st_value", "<u8"),
        ("st_size", "<u8"),
    ]
)  # fmt: skip
_SHN_UNDEF: Final = 0
_SHN_LORESERVE: Final = 0xFF00
_STT: Final = 0xF
STT_NOTYPE, STT_OBJECT, STT_FUNC = 0, 1, 2


class ElfSymbol(NamedTuple):
    """One that the file defines."""

    name: str
    """As linked."""
    vaddr: Vaddr
    size: int
    """In bytes."""
    kind: int
    """`STT_FUNC` and so on."""
    section: int | None
    """The index of the section that holds it; None where it is in none, as an absolute one."""


def symbols_of(file: ELFFile) -> Iterator[ElfSymbol]:
    """Give each symbol that has a name and is defined here, table by table.

    Raises:
        ImageError: a file of another class than ELF-64.
    """
    for table in file.iter_sections():
        if isinstance(table, SymbolTableSection):
            if file.elfclass != 64:
                raise ImageError("symbols", expected="an ELF file of 64 bits", actual=f"{file.elfclass}")
            names = table.stringtable.data()
            for name, info, _, section, value, size in np.frombuffer(table.data(), _ENTRY).tolist():
                if name and section != _SHN_UNDEF:
                    text = names[name : names.index(0, name)].decode("utf-8", "replace")
                    inside = section if section < _SHN_LORESERVE else None
                    yield ElfSymbol(text, Vaddr(value), size, info & _STT, inside)
