"""Tells from where code was inlined."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any

from elftools.elf.elffile import ELFFile

from frame_harness.image import dies, lines

Place = tuple[str, int]  # file, line
DWARF_VERSION = 4
"""What rustc writes for bare metal; later ones write indices for addresses, and are passed over."""


def decode(file: ELFFile) -> dict[str, Any]:
    """Return every piece of inlined code with the line that called it, sorted by address, in columns.

    Pieces nest: `outer` is the number of the piece around one, or -1.
    """
    dwarf = file.get_dwarf_info()
    ranges: Any = dwarf.range_lists()
    files: dict[str, int] = {}
    pieces: list[tuple[int, int, int, int]] = []  # first address, end, number of the file, line
    for unit in dies.Units(dwarf):
        program = dwarf.line_program_for_CU(unit.cu)
        if program is None or int(unit.cu["version"]) > DWARF_VERSION:
            continue
        top = unit.cu.get_top_DIE().attributes
        folder = top.get("DW_AT_comp_dir")
        names = lines.file_names(program, folder.value.decode("utf-8", "replace") if folder else "")
        base = int(top["DW_AT_low_pc"].value) if "DW_AT_low_pc" in top else 0
        for die in unit.entries():
            if die.tag != "DW_TAG_inlined_subroutine":
                continue
            found = unit.attributes(die.offset)
            number = int(found.get("DW_AT_call_file", 0))
            line = int(found.get("DW_AT_call_line", 0))
            if not line or number >= len(names):
                continue
            at = files.setdefault(names[number], len(files))
            for low, high in _addresses(found, base, partial(_listed, ranges, unit.cu)):
                if low:  # functions that the link editor threw away lie at address 0
                    pieces.append((low, high, at, line))
    pieces.sort(key=lambda piece: (piece[0], -piece[1]))
    columns = [[piece[column] for piece in pieces] for column in range(4)]
    names_ = ("first", "end", "numbers", "lines")
    return {"files": list(files), "outer": _outer(pieces), **dict(zip(names_, columns, strict=True))}


def _listed(ranges: Any, cu: Any, offset: int) -> Any:
    return ranges.get_range_list_at_offset(offset, cu)


def _addresses(found: dict[str, Any], base: int, listed: Callable[[int], Any]) -> list[tuple[int, int]]:
    """DWARF 4 section 2.17: one range of addresses, or a list of them relative to a base."""
    if "DW_AT_ranges" not in found:
        low, high = int(found.get("DW_AT_low_pc", 0)), int(found.get("DW_AT_high_pc", 0))
        return [(low, high if high > low else low + high)]
    spans = []
    for entry in listed(int(found["DW_AT_ranges"])):
        if hasattr(entry, "base_address"):
            base = int(entry.base_address)
        else:
            start = 0 if getattr(entry, "is_absolute", False) else base
            spans.append((start + int(entry.begin_offset), start + int(entry.end_offset)))
    return spans


def _outer(pieces: list[tuple[int, int, int, int]]) -> list[int]:
    """For each piece the smallest one that holds it; of equal ones, the entry that came first is outside."""
    outer: list[int] = []
    around: list[int] = []
    for at, (first, end, _, _) in enumerate(pieces):
        while around and not (pieces[around[-1]][0] <= first and end <= pieces[around[-1]][1]):
            around.pop()
        outer.append(around[-1] if around else -1)
        around.append(at)
    return outer


def callers(table: dict[str, Any], vaddr: int) -> list[Place]:
    """Return the lines that the code at an address was inlined into, the innermost first."""
    at = bisect_right(table["first"], vaddr) - 1
    while at >= 0 and not vaddr < table["end"][at]:
        at = table["outer"][at]
    found = []
    while at >= 0:
        found.append((table["files"][table["numbers"][at]], table["lines"][at]))
        at = table["outer"][at]
    return found
