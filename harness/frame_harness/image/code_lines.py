"""The lines of a subject: which code of an image is theirs, and which lines have code at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frame_harness.base import resources
from frame_harness.base.commands import Say, tell_once
from frame_harness.image.compiler import Toolchain
from frame_harness.image.elf_cache import cached
from frame_harness.image.errors import CompileError
from frame_harness.image.image import Image
from frame_harness.image.line_table import CodeRow, LineTable, Spot, derived, files_of, read_line_table
from frame_harness.image.reference import coverable

_KEYS = frozenset({"spots", "rows", "functions", "unknown"})


@dataclass(frozen=True)
class CodeLines:
    """The subject's lines in one image; what the compiler wrote by itself (`derive`) is none of them.

    Attributes:
        spots: every line that has code, in this image or in another kernel, sorted.
        table: of this image.
    """

    spots: tuple[Spot, ...]
    table: LineTable


def code_lines(image: Image, toolchain: Toolchain, say: Say | None = None) -> CodeLines:
    """Return the lines of an image's subject; read once, then kept on disk.

    Where the subject compiles in this kernel alone, lines that nobody calls there are not known; it is said.

    Raises:
        CompileError: a file of the subject changed meanwhile.
        ImageError: the image cannot be read.
    """

    def whole() -> dict[str, Any]:
        table = read_line_table(image.elf, files_of(image.subject), resources.shim_dir())
        here = {spot for row in table.rows for spot in row.spots}
        everywhere, unknown = _everywhere(image, toolchain, say)
        spots = here | everywhere
        if image.subject.refreshed() != image.subject:
            first = "a file that changed while its lines were read"
            raise CompileError(subject=image.subject.name, profile=image.profile, first=first, rendered="")
        own = sorted(spots - derived(spots, _text_of))
        numbers = {spot: number for number, spot in enumerate(own)}
        rows = [(row.start, row.end, _numbers(row.spots, numbers)) for row in table.rows]
        return {"spots": own, "rows": rows, "functions": table.functions, "unknown": unknown}

    found = cached(image.sha256, "lines", _KEYS, whole)
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
