"""Tells from which source lines the code at an address comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from symbolic.debuginfo import Archive

from frame_harness.base.units import Vaddr
from frame_harness.image.demangle import demangle
from frame_harness.image.elf import open_elf, reading

_ARCH = "x86_64"


class Place(NamedTuple):
    """A line of a source file, with the function that it belongs to."""

    file: str
    line: int
    function: str


class Places:
    """The line tables and the inlined calls of one file, in symbolic's symcache."""

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            ImageError: not an ELF file, or a damaged one.
        """
        loaded = (part for part in open_elf(path).iter_segments() if part["p_type"] == "PT_LOAD")
        # The addresses of a symcache are relative to the first segment that is loaded.
        self._base = min((int(part["p_vaddr"]) for part in loaded), default=0)
        with reading(path):
            self._cache: Any = Archive.open(str(path)).get_object(arch=_ARCH).make_symcache()

    def at(self, vaddr: Vaddr) -> list[Place]:
        """Return the place of the code at an address, then that of each call that it was inlined into.

        What the compiler made up has line 0: it counts to the line before it.
        """
        offset = vaddr - self._base
        found = self._look_up(offset)
        while found and not found[0].line and offset > found[-1].sym_addr:
            offset -= 1
            found = self._look_up(offset)
        return [Place(one.full_path or "", one.line, demangle(one.symbol)) for one in found if one.line]

    def _look_up(self, offset: int) -> list[Any]:
        return list(self._cache.lookup(offset)) if 0 <= offset < 1 << 63 else []
