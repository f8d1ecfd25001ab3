"""Reads from an ELF file which code belongs to which lines and functions of some source files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from elftools.elf.elffile import ELFFile

from frame_harness.base.units import Vaddr
from frame_harness.image.dies import Sections
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.placed import is_part_of
from frame_harness.image.places import Place, Places
from frame_harness.image.subject import Subject

# DWARF 5 section 7.4: bytes of a length in the 32-bit format, and what says that it is the 64-bit one.
_WORD = 4
_LONG: Final = 0xFFFFFFFF
_CLOSURE = re.compile(r"::(?:\{\{closure\}\}|\{closure#\d+\})")
_IMPLEMENTED = re.compile(r"<(?:.*::)?(\w+)(?:<.*>)? as .+?>::(\w+)$")
_MODULES = re.compile(r"^(?:[a-z_]\w*::)+(?=[A-Z]\w*::|[a-z_]\w*$)")
_DERIVE = re.compile(r"\bderive\s*\([^)]*\)")

IsSubject = Callable[[str], bool]
"""Tells of a source file whether it is looked at."""


class Spot(NamedTuple):
    """A line of a source file, and the function whose code it is."""

    file: str
    line: int
    function: str


class CodeRow(NamedTuple):
    """Code without a change of line, from `start` to before `end`, with the lines that it belongs to.

    More than one where it was inlined: that of the code itself, and those of the calls.
    """

    start: Vaddr
    end: Vaddr
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class LineTable:
    """All code of some source files in one ELF file."""

    rows: tuple[CodeRow, ...]
    """Sorted, disjoint."""
    functions: tuple[tuple[Vaddr, Vaddr], ...]
    """[start, end) of each function with code of these files in it, sorted."""


class Sequence(NamedTuple):
    """The rows of one function in a line program: (address, file, line), line 0 where no statement begins."""

    rows: tuple[tuple[Vaddr, str, int], ...]
    end: Vaddr


def files_of(subject: Subject) -> IsSubject:
    """Return what tells whether a source file is part of a subject."""
    if subject.parts:
        parts = {str(file) for file in subject.files}
        return parts.__contains__
    path = str(subject.path)
    return lambda file: is_part_of(file, path)


def read_line_table(elf: Path, is_subject: IsSubject, compiled_in: Path) -> LineTable:
    """Read the code of some files in a linked file.

    A row of the line table counts where it begins a statement (DWARF 4 section 6.2.2). Code that was inlined
    counts to its own line and to that of each call (DW_AT_call_line, DWARF 4 section 3.3.8.2).

    Args:
        compiled_in: the compiler's working folder, to which the names of files may be relative.
    Raises:
        ImageError: not an ELF file, or a damaged one.
    """
    places = Places(elf)
    with reading(elf):
        found = [
            one for one in sequences(open_elf(elf), is_subject, compiled_in) if _has_some(one, is_subject)
        ]
    rows = [row for one in found for row in _rows(one, places, is_subject)]
    functions = sorted((one.rows[0][0], one.end) for one in found)
    return LineTable(tuple(sorted(rows)), tuple(functions))


def sequences(file: ELFFile, is_subject: IsSubject, compiled_in: Path) -> Iterator[Sequence]:
    """Read the line programs that name a file, and of these each sequence, in the order of the file."""
    dwarf = file.get_dwarf_info()
    sections = Sections.of(dwarf)
    for offset in _programs(sections.line):
        names = sections.line_headers.files(offset, str(compiled_in))
        if any(map(is_subject, names)):
            yield from _sequences(dwarf._parse_line_program_at_offset(offset, dwarf.structs), names)


def own_function(name: str) -> str:
    """Return a function's path without modules; a closure is part of the function that it is written in.

    Accepts:
        `kernel_shim::memory::frame::MetaSlot::inc_ref::{{closure}}` → `MetaSlot::inc_ref`
        `<kernel_shim::memory::frame::Frames as core::iter::Iterator>::next` → `Frames::next`
    """
    plain = _CLOSURE.sub("", name)
    if implemented := _IMPLEMENTED.match(plain):
        return f"{implemented[1]}::{implemented[2]}"
    return _MODULES.sub("", plain)


def derived(spots: Iterable[Spot], text: Callable[[str], str]) -> frozenset[Spot]:
    """Return the spots of functions that the compiler wrote: they begin in the line of a `derive`.

    Args:
        text: gives that of a source file.
    """
    first: dict[tuple[str, str], int] = {}
    spots = list(spots)
    for spot in spots:
        key = spot.file, spot.function
        first[key] = min(spot.line, first.get(key, spot.line))
    attributes = {file: _derive_lines(text(file)) for file in {spot.file for spot in spots}}
    return frozenset(spot for spot in spots if first[spot.file, spot.function] in attributes[spot.file])


def _derive_lines(text: str) -> frozenset[int]:
    found: set[int] = set()
    for one in _DERIVE.finditer(text):
        begin = text.count("\n", 0, one.start()) + 1
        found.update(range(begin, begin + one[0].count("\n") + 1))
    return frozenset(found)


def _has_some(sequence: Sequence, is_subject: IsSubject) -> bool:
    return any(line and is_subject(file) for _, file, line in sequence.rows)


def _rows(sequence: Sequence, places: Places, is_subject: IsSubject) -> Iterator[CodeRow]:
    ends = [row[0] for row in sequence.rows[1:]] + [sequence.end]
    for (start, file, line), end in zip(sequence.rows, ends, strict=True):
        if start == end:
            continue
        own, *calls = places.at(start) or [Place("", 0, "")]
        # What begins no statement of a line shows nothing of it; the calls around it are made all the same.
        statement = [(file, line, own.function)] if line and file == own.file else []
        found = [*statement, *((each.file, each.line, each.function) for each in calls)]
        spots = [Spot(file, line, own_function(name)) for file, line, name in found if is_subject(file)]
        if spots:
            yield CodeRow(start, end, tuple(dict.fromkeys(spots)))


def _programs(data: bytes) -> Iterator[int]:
    """Walk the headers in `.debug_line`: of hundreds of units few have code of a subject."""
    at = 0
    while at + _WORD < len(data):
        length, wide = int.from_bytes(data[at : at + _WORD], "little"), _WORD
        if length == _LONG:
            length, wide = int.from_bytes(data[at + _WORD : at + 3 * _WORD], "little"), 3 * _WORD
        yield at
        at += wide + length


def _sequences(program: Any, names: list[str]) -> Iterator[Sequence]:
    rows: list[tuple[Vaddr, str, int]] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if state.end_sequence:
            if rows:
                yield Sequence(tuple(rows), Vaddr(state.address))
            rows = []
            continue
        file = names[state.file] if state.file < len(names) else ""
        rows.append((Vaddr(state.address), file, int(state.line) if state.is_stmt else 0))
