"""Maps addresses to source lines."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile


def file_names(program: Any, comp_dir: str) -> list[str]:
    """Return the files of a line program, by the number that the debug information uses for them.

    DWARF 5 counts from 0; DWARF 4 from 1, where 0 means "no file".
    """
    header = program.header
    folders = [_text(folder) for folder in header.include_directory]
    if header.version < 5:
        folders.insert(0, comp_dir)
    names = [] if header.version >= 5 else [""]
    for entry in header.file_entry:
        folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
        names.append(posixpath.normpath(posixpath.join(comp_dir, folder, _text(entry.name))))
    return names


Row = tuple[int, int, int]  # address, number of the file, line; line 0 ends a run


def decode(file: ELFFile) -> dict[str, Any]:
    """Return every line table of a file as one, sorted by address, in columns."""
    dwarf = file.get_dwarf_info()
    code = [
        range(int(section["sh_addr"]), int(section["sh_addr"]) + int(section["sh_size"]))
        for section in file.iter_sections()
        if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR
    ]
    files: dict[str, int] = {}
    rows: list[Row] = []
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        comp_dir = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        names = file_names(program, _text(comp_dir.value) if comp_dir else "")
        numbers = [files.setdefault(name, len(files)) for name in names]
        for run in _runs(program, numbers):
            # Functions that the link editor threw away leave their lines behind, at address 0.
            if any(run[0][0] in addresses for addresses in code):
                rows += run
    # A run that ends where the next begins: the end sorts first, so that the beginning counts.
    rows.sort(key=lambda row: (row[0], row[2] != 0))
    addresses, numbers, lines = ([row[column] for row in rows] for column in range(3))
    return {"files": list(files), "addresses": addresses, "numbers": numbers, "lines": lines}


def _runs(program: Any, numbers: list[int]) -> Iterator[list[Row]]:
    run: list[Row] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if state.end_sequence:
            if run:
                yield [*run, (state.address, 0, 0)]
            run = []
        elif state.line and state.file < len(numbers):
            # Line 0 is code that the compiler made up: it counts to the line before it.
            run.append((state.address, numbers[state.file], state.line))


def look_up(table: dict[str, Any], vaddr: int) -> tuple[str, int, int] | None:
    """Return (file, line, first address of that line's code); None where no code of a known line is."""
    at = bisect_right(table["addresses"], vaddr) - 1
    if at < 0 or table["lines"][at] == 0:
        return None
    return table["files"][table["numbers"][at]], table["lines"][at], table["addresses"][at]


def _text(raw: Any) -> str:
    return raw.decode("utf-8", errors="replace") if isinstance(raw, bytes) else str(raw)
