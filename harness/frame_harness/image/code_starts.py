"""Tells where the code of a source line, or of a function, begins: a debugger has to stop there.

Debuggers look for a line in the line table, where code that was inlined has the lines of the library that it
comes from. Here a line has the code that was inlined into it, too, and a function each place that it was
inlined at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from elftools.elf.elffile import ELFFile

from frame_harness.base.units import KERNEL_VMA, Vaddr
from frame_harness.image.demangle import demangle
from frame_harness.image.dies import CompilationUnit, Units
from frame_harness.image.dwarf import is_foreign
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.elf_cache import cached
from frame_harness.image.image import Image
from frame_harness.image.machine_code import code_sections

_FOREIGN: Final = re.compile(r"/rustc/|/registry/src/|/lib/rustlib/|library/")
# <kernel_shim::memory::frame::Frames as core::iter::traits::iterator::Iterator>::next
_OF_A_TRAIT: Final = re.compile(r"<(?P<type>.+?) as .+>(?P<function>::\w+)")
_DWARF_5: Final = 5
_Table = dict[str, list[Vaddr]]


@dataclass(frozen=True)
class CodeStarts:
    """Addresses, sorted; by `file:line`, and by the full path of a function."""

    lines: _Table
    functions: _Table

    @classmethod
    def of(cls, image: Image) -> CodeStarts:
        """Read an image, or what was cached when it was read before.

        Raises:
            ImageError: it has no debug information, or it is damaged.
        """

        def whole() -> dict[str, _Table]:
            with reading(image.elf):
                return _read(open_elf(image.elf))

        found = cached(image.sha256, "starts", {"lines", "functions"}, whole)
        return cls(found["lines"], found["functions"])

    def of_line(self, place: str) -> tuple[Vaddr, ...]:
        """Where the code of a `file:line` begins; the file may be the end of a path."""
        return _with_end(self.lines, place, "/")

    def of_function(self, path: str) -> tuple[Vaddr, ...]:
        """Where the code of a function begins, by the end of its path: `MetaSlot::dec_ref`."""
        return _with_end(self.functions, path, "::")


def _with_end(table: _Table, wanted: str, separator: str) -> tuple[Vaddr, ...]:
    if wanted in table:
        return tuple(table[wanted])
    end = f"{separator}{wanted}"
    return tuple(sorted({at for name, found in table.items() if name.endswith(end) for at in found}))


def _read(file: ELFFile) -> dict[str, _Table]:
    dwarf = file.get_dwarf_info()
    lines: defaultdict[str, set[Vaddr]] = defaultdict(set)
    functions: defaultdict[str, set[Vaddr]] = defaultdict(set)
    units = Units(dwarf)
    names = _Names(units)
    for unit in units:
        name = str(unit.attributes(unit.first).get("DW_AT_name", ""))
        if is_foreign(name) or _FOREIGN.search(name):
            continue
        program = dwarf.line_program_for_CU(unit.cu)
        if program is None:
            continue
        files = units.files(unit)
        for number, line, vaddr in _statements(program):
            lines[f"{files[number]}:{line}"].add(vaddr)
        for path, place, vaddr in _code(unit, names, dwarf, files):
            functions[path].add(vaddr)
            if place:
                lines[place].add(vaddr)
    own = {place: found for place, found in lines.items() if not _FOREIGN.search(place)}
    # What the linker left out keeps its entries, at addresses from 0 on.
    code = [(one["sh_addr"], one["sh_addr"] + one["sh_size"]) for one in code_sections(file)]
    return {"lines": _linked(own, code), "functions": _linked(functions, code)}


def _linked(table: dict[str, set[Vaddr]], code: list[tuple[int, int]]) -> _Table:
    kept = {
        name: sorted(at for at in found if any(first <= at < end for first, end in code))
        for name, found in table.items()
    }
    return {name: found for name, found in kept.items() if found}


def _statements(program: Any) -> Iterator[tuple[int, int, Vaddr]]:
    """(number of a file, line, address) wherever the line changes."""
    before = (0, 0)
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        here = (state.file, state.line)
        if state.is_stmt and state.line and not state.end_sequence and here != before and state.address:
            yield state.file, state.line, Vaddr(state.address)
        before = (0, 0) if state.end_sequence else here


def _code(
    unit: CompilationUnit, names: _Names, dwarf: Any, files: list[str]
) -> Iterator[tuple[str, str, Vaddr]]:
    """(path, place of the call that was inlined, address) of each function in a unit."""
    for die in unit.entries():
        if die.tag not in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine"):
            continue
        attributes = unit.attributes(die.offset)
        vaddr = _begin(unit, attributes, dwarf)
        if vaddr is None:
            continue
        place = ""
        if call := attributes.get("DW_AT_call_line"):
            place = f"{files[attributes['DW_AT_call_file']]}:{call}"
        yield names.of(die.offset), place, vaddr


def _begin(unit: CompilationUnit, attributes: dict[str, Any], dwarf: Any) -> Vaddr | None:
    if (low := attributes.get("DW_AT_low_pc")) is not None:
        small = unit.cu["version"] >= _DWARF_5 and low < KERNEL_VMA  # then it may be the number of an address
        return Vaddr(dwarf.get_addr(unit.cu, low) if small else low) or None
    if (at := attributes.get("DW_AT_ranges")) is not None:
        ranges = dwarf.range_lists().get_range_list_at_offset(at, unit.cu)
        return min((Vaddr(one.begin_offset) for one in ranges if hasattr(one, "begin_offset")), default=None)
    return None


class _Names:
    """Paths of functions, by the offset of any entry of theirs."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self.of = lru_cache(None)(self._of)

    def _of(self, offset: int) -> str:
        unit = self._units.at(offset)
        attributes = unit.attributes(offset)
        if linkage := attributes.get("DW_AT_linkage_name"):
            return _plain(demangle(str(linkage)))
        for reference in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if reference in attributes:
                return str(self.of(attributes[reference]))
        return str(attributes.get("DW_AT_name", "?"))


def _plain(function: str) -> str:
    """A function's path as the contract writes it: a trait's under the name of the type."""
    return _OF_A_TRAIT.sub(r"\g<type>\g<function>", function)
