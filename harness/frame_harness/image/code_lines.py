"""The lines of a subject: which code of an image is theirs, and which lines have code at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from elftools.elf.elffile import ELFFile

from frame_harness.base import resources
from frame_harness.base.commands import Say, tell_once
from frame_harness.base.disk import scratch
from frame_harness.image import dies
from frame_harness.image.asked import asked
from frame_harness.image.build import changed_sources
from frame_harness.image.compiler import Toolchain
from frame_harness.image.demangle import demangle
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.elf_cache import cached
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.ir_build import compile_alone
from frame_harness.image.line_table import (
    CodeRow,
    IsSubject,
    LineTable,
    Spot,
    derived,
    files_of,
    own_function,
    read_line_table,
    sequences,
)
from frame_harness.image.subject import Subject

_KEYS = frozenset({"spots", "rows", "functions", "unknown"})


@dataclass(frozen=True)
class CodeLines:
    """The subject's lines in one image; what the compiler wrote by itself (`derive`) is none of them."""

    spots: tuple[Spot, ...]
    """Every line that has code, in this image or in another kernel, sorted."""
    table: LineTable
    """Of this image."""


def code_lines(image: Image, toolchain: Toolchain, say: Say | None = None) -> CodeLines:
    """Return the lines of an image's subject; read once, then kept on disk.

    Where the subject compiles in this kernel alone, lines that nobody calls there are not known; it is said.

    Raises:
        CompileError: a file of the subject changed meanwhile.
        BuildError: a compiler was ended, which says nothing of the subject.
        ImageError: the image cannot be read.
    """

    def whole() -> dict[str, Any]:
        table = read_line_table(image.elf, files_of(image.subject), resources.shim_dir())
        here = {spot for row in table.rows for spot in row.spots}
        everywhere, unknown = _everywhere(image, toolchain, say)
        spots = here | everywhere
        if image.subject.refreshed() != image.subject or changed_sources(image):
            first = "a file that changed while its lines were read"
            raise CompileError(subject=image.subject.name, profile=image.profile, first=first, rendered="")
        own = sorted(spots - derived(spots, _text_of))
        numbers = {spot: number for number, spot in enumerate(own)}
        rows = [(row.start, row.end, _numbers(row.spots, numbers)) for row in table.rows]
        return {"spots": own, "rows": rows, "functions": table.functions, "unknown": unknown}

    found = cached(image.sha256, f"lines-{_texts(image)}", _KEYS, whole)
    if found["unknown"]:
        tell_once(f"lines of {image.subject.name} that no code calls are not known: {found['unknown']}")
    spots = tuple(Spot(*spot) for spot in found["spots"])
    rows = tuple(
        CodeRow(start, end, tuple(spots[number] for number in numbers))
        for start, end, numbers in found["rows"]
        if numbers
    )
    functions = tuple((start, end) for start, end in found["functions"])
    return CodeLines(spots, LineTable(rows, functions))


def _texts(image: Image) -> str:
    """Name the texts of an image: that of code which it has not may differ, and so may the lines of that."""
    parts = (image.subject.sha256, *chain.from_iterable(image.sources))
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:12]


def _everywhere(image: Image, toolchain: Toolchain, say: Say | None) -> tuple[frozenset[Spot], str]:
    """Return the lines that have code in any kernel; or none, with the compiler's words."""
    try:
        return coverable(image.subject, image.profile, toolchain, say), ""
    except CompileError as error:
        return frozenset(), error.first


def _numbers(spots: Iterable[Spot], numbers: dict[Spot, int]) -> list[int]:
    return [numbers[spot] for spot in spots if spot in numbers]


def _text_of(file: str) -> str:
    return Path(file).read_text(encoding="utf-8", errors="replace")


_ABSOLUTE: Final = 1
"""R_X86_64_64 (System V ABI, AMD64 supplement, table 4.9): in a line program, where a sequence begins."""


def coverable(
    subject: Subject, profile: str, toolchain: Toolchain, say: Say | None = None
) -> frozenset[Spot]:
    """Return every line of a subject that has code in a build of a profile, with its function.

    The subject is compiled once more for that, so that functions are kept that nobody calls. Of generic
    functions there are those alone that the subject itself uses.

    Raises:
        CompileError: it does not compile; carries the compiler's words.
        BuildError: the compiler was ended.
    """
    with scratch("reference") as folder:
        out = folder / "subject.o"
        what = f"compiling all of {subject.name} for its lines"
        compile_alone(subject, asked(profile), toolchain, f"--emit=obj={out}", folder, what, say)
        with reading(out):
            return _spots(out, files_of(subject), folder)


def _spots(file: Path, is_subject: IsSubject, folder: Path) -> frozenset[Spot]:
    elf = open_elf(file)
    spots = frozenset(_own(elf, is_subject, folder))
    calls = frozenset(_calls(elf, is_subject, folder))
    return spots | {Spot(source, line, _function_around(source, line, spots)) for source, line in calls}


def _own(elf: ELFFile, is_subject: IsSubject, folder: Path) -> Iterator[Spot]:
    """Each function has a section of its own, and a sequence, which begins at 0 before it is linked."""
    functions = list(_functions(elf))
    for name, sequence in zip(functions, sequences(elf, lambda _: True, folder), strict=True):
        for _, source, line in sequence.rows:
            if line and is_subject(source):
                yield Spot(source, line, own_function(name))


def _functions(elf: ELFFile) -> Iterator[str]:
    """Return the function of each sequence, by what its address is to be relocated to."""
    relocations: Any = elf.get_section_by_name(".rela.debug_line")
    symbols: Any = elf.get_section_by_name(".symtab")
    names = _names_by_section(symbols)
    found = [one for one in relocations.iter_relocations() if one["r_info_type"] == _ABSOLUTE]
    for one in sorted(found, key=lambda each: int(each["r_offset"])):
        symbol = symbols.get_symbol(one["r_info_sym"])
        yield demangle(names.get(symbol["st_shndx"], symbol.name))


def _names_by_section(symbols: Any) -> dict[int, str]:
    return {
        symbol["st_shndx"]: symbol.name
        for symbol in symbols.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
    }


def _calls(elf: ELFFile, is_subject: IsSubject, folder: Path) -> Iterator[tuple[str, int]]:
    """Return (file, line) of each call that was inlined: all of its code may be somebody else's."""
    units = dies.Units(elf.get_dwarf_info())
    for unit in units:
        names = units.files(unit, str(folder))
        for die in unit.entries():
            if die.tag == "DW_TAG_inlined_subroutine":
                call = unit.attributes(die.offset)
                source = names[int(call.get("DW_AT_call_file", 0))]
                if is_subject(source):
                    yield source, int(call["DW_AT_call_line"])


def _function_around(file: str, line: int, spots: Iterable[Spot]) -> str:
    """Return the function that begins last of those that a line lies in; empty for none."""
    lines: dict[str, list[int]] = {}
    for spot in spots:
        if spot.file == file:
            lines.setdefault(spot.function, []).append(spot.line)
    found = [(min(own), name) for name, own in lines.items() if min(own) <= line <= max(own)]
    return max(found, default=(0, ""))[1]
