"""Reads symbols with the build's id from an ELF file."""

from __future__ import annotations

import contextlib
import io
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from frame_harness.base.units import Vaddr
from frame_harness.image.demangle import demangle
from frame_harness.image.elf_cache import cached
from frame_harness.image.errors import ImageError
from frame_harness.image.symbols import STT_FUNC, STT_NOTYPE, STT_OBJECT, symbols_of

_KINDS = frozenset({STT_FUNC, STT_OBJECT, STT_NOTYPE})


@dataclass(frozen=True)
class Elf:
    """The symbols and the identity of one file."""

    path: Path
    symbols: dict[str, tuple[Vaddr, int]]
    """Name as linked → (vaddr, size in bytes)."""
    functions: list[tuple[Vaddr, int, str]]
    """(vaddr, size, readable name), sorted."""
    build_id: str
    """Of the link editor, in hex."""

    @classmethod
    def of(cls, path: Path, sha256: str) -> Elf:
        """Read a file whose sha256 is known, or what was cached when it was read before.

        Raises:
            ImageError: not an ELF file, or one that names nothing.
        """

        def whole() -> dict[str, Any]:
            elf = cls.read(path)
            return {"symbols": elf.symbols, "functions": elf.functions, "build_id": elf.build_id}

        found = cached(sha256, "symbols", {"symbols", "functions", "build_id"}, whole)
        return cls(
            path,
            symbols={name: (at, size) for name, (at, size) in found["symbols"].items()},
            functions=[(at, size, name) for at, size, name in found["functions"]],
            build_id=found["build_id"],
        )

    @classmethod
    def read(cls, path: Path) -> Elf:
        """Read a file.

        Raises:
            ImageError: not an ELF file, or one that names nothing.
        """
        with reading(path):
            return cls._read(path)

    @classmethod
    def _read(cls, path: Path) -> Elf:
        file = open_elf(path)
        found = [symbol for symbol in symbols_of(file) if symbol.kind in _KINDS]
        symbols = {symbol.name: (symbol.vaddr, symbol.size) for symbol in found}
        functions = [
            (symbol.vaddr, symbol.size, demangle(symbol.name)) for symbol in found if symbol.kind == STT_FUNC
        ]
        return cls(path, symbols, sorted(functions), _build_id(file))

    def symbol(self, name: str) -> tuple[Vaddr, int]:
        """Return (vaddr, size in bytes).

        Raises:
            ImageError: no such symbol; a file that was stripped has none at all.
        """
        if name not in self.symbols:
            what = f"{len(self.symbols)} others" if self.symbols else "no symbols at all (stripped?)"
            raise ImageError(f"{self.path}", "symbol", expected=name, actual=what)
        return self.symbols[name]

    def function_at(self, vaddr: Vaddr) -> tuple[str, int] | None:
        """Return a function's name with the bytes from its beginning; None outside of every function."""
        at = bisect_right(self.functions, (vaddr, 1 << 64, "")) - 1
        if at < 0:
            return None
        start, size, name = self.functions[at]
        # Assembly may leave out the size: then the function reaches to the next one.
        if size and vaddr >= start + size:
            return None
        return name, vaddr - start


def open_elf(path: Path) -> ELFFile:
    """Open a file as ELF, whole in memory: nothing stays open, nothing changes under the reader.

    Raises:
        ImageError: it cannot be read, or is no whole ELF file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}", expected="a readable ELF file", actual=error.strerror) from error
    if data[:4] != b"\x7fELF":
        shown = "an empty file" if not data else f"a file that begins with {data[:4]!r}"
        raise ImageError(f"{path}", expected="an ELF file", actual=shown)
    with reading(path):
        return ELFFile(io.BytesIO(data))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a reader trips over into one line: on damage pyelftools raises almost anything.

    Raises:
        ImageError: whatever the reader raised, but for one of these, which passes.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        words = " ".join(f"{type(error).__name__} {error}".split())
        raise ImageError(f"{path}", expected="a whole ELF file", actual=f"a damaged one ({words})") from error


def _build_id(file: ELFFile) -> str:
    for section in file.iter_sections():
        if isinstance(section, NoteSection):
            for note in section.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return ""
