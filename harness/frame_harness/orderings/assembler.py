"""Turns assembly into code through the toolchain."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from frame_harness.base.disk import run_writing, scratch
from frame_harness.image.compiler import Toolchain
from frame_harness.image.isolation import environment
from frame_harness.orderings.asm_block import NotUnderstood

BEGIN: Final = "frame_harness_block"
_PC_RELATIVE: Final = frozenset({2, 4})  # R_X86_64_PC32, R_X86_64_PLT32
_ABSOLUTE: Final = frozenset({1, 10, 11})  # R_X86_64_64, R_X86_64_32, R_X86_64_32S


@dataclass(frozen=True)
class CodeReference:
    """A place in code that the linker would fill in with the address of `symbol` plus `addend`."""

    symbol: str
    addend: int
    relative: bool


@dataclass(frozen=True)
class CodeSection:
    """Code of one section with the references in it, by offset."""

    code: bytes
    references: Mapping[int, CodeReference]


@dataclass(frozen=True)
class Assembled:
    """An object file's sections, and where in which of them each symbol lies."""

    sections: Mapping[int, CodeSection]
    symbols: Mapping[str, tuple[int, int]]


Assemble = Callable[[str, bool], Assembled]
"""Assembles text (True: Intel syntax). Raises NotUnderstood when it is no assembly."""


def assembler(toolchain: Toolchain, target: str) -> Assemble:
    """Return what assembles with a toolchain; each text once."""

    @cache
    def assemble(text: str, intel: bool) -> Assembled:
        return _read(_object(toolchain, target, text, intel))

    return assemble


def without(_text: str, _intel: bool) -> Assembled:
    """Assemble nothing, for those who read IR without a toolchain."""
    raise NotUnderstood("no assembler is at hand")


def _object(toolchain: Toolchain, target: str, text: str, intel: bool) -> bytes:
    syntax = "options(raw)" if intel else "options(att_syntax, raw)"
    with scratch("asm") as folder:
        (folder / "block.s").write_text(text, encoding="utf-8", errors="surrogateescape")
        crate = f'#![no_std]\ncore::arch::global_asm!(include_str!("block.s"), {syntax});\n'
        (folder / "block.rs").write_text(crate, encoding="utf-8")
        argv: list[str] = [
            str(toolchain.rustc), "--crate-type=rlib", "--crate-name=block", "--edition=2021",
            "-Cpanic=abort", "-Ccodegen-units=1", f"--target={target}", "--emit=obj=block.o", "block.rs",
        ]  # fmt: skip
        what = "assembling what a frame module has"
        env = environment() | dict(toolchain.env)
        finished = run_writing(folder, argv, what=what, env=env, cwd=folder)
        if finished.status != 0:
            first = next((line for line in finished.err.splitlines() if line.startswith("error")), "refused")
            raise NotUnderstood(f"the assembler refuses it: {first.removeprefix('error: ')}")
        return (folder / "block.o").read_bytes()


def _read(data: bytes) -> Assembled:
    try:
        elf = ELFFile(io.BytesIO(data))
        table = next(s for s in elf.iter_sections() if isinstance(s, SymbolTableSection))
        names = [symbol.name or _section_of(elf, symbol) for symbol in table.iter_symbols()]
        references: dict[int, dict[int, CodeReference]] = {}
        for section in elf.iter_sections():
            if isinstance(section, RelocationSection):
                found = references.setdefault(int(section["sh_info"]), {})
                for entry in section.iter_relocations():
                    reference = _reference(entry, names)
                    found[int(entry["r_offset"])] = reference
        sections = {
            index: CodeSection(section.data(), references.get(index, {}))
            for index, section in enumerate(elf.iter_sections())
            if section["sh_type"] == "SHT_PROGBITS"
        }
        symbols = {
            symbol.name: (int(symbol["st_shndx"]), int(symbol["st_value"]))
            for symbol in table.iter_symbols()
            if symbol.name and isinstance(symbol["st_shndx"], int)
        }
    except (ELFError, StopIteration) as error:
        raise NotUnderstood("the assembler's output is no object file that can be read") from error
    return Assembled(sections, symbols)


def _section_of(elf: ELFFile, symbol: object) -> str:
    index = symbol["st_shndx"]  # type: ignore[index]
    return f"section {elf.get_section(index).name}" if isinstance(index, int) else ""


def _reference(entry: object, names: list[str]) -> CodeReference:
    kind = int(entry["r_info_type"])  # type: ignore[index]
    if kind not in _PC_RELATIVE | _ABSOLUTE:
        raise NotUnderstood("it refers to a symbol in a way that is not known here")
    symbol = names[int(entry["r_info_sym"])]  # type: ignore[index]
    return CodeReference(symbol, int(entry["r_addend"]), kind in _PC_RELATIVE)  # type: ignore[index]
