"""Symbols that are read at once are those that pyelftools reads one by one."""

from __future__ import annotations

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from frame_harness.image.elf import open_elf
from frame_harness.image.errors import ImageError
from frame_harness.image.machine_code import functions_code
from frame_harness.image.symbols import STT_FUNC, STT_NOTYPE, STT_OBJECT, symbols_of
from tests.unit import image_samples

KINDS = {"STT_NOTYPE": STT_NOTYPE, "STT_OBJECT": STT_OBJECT, "STT_FUNC": STT_FUNC}


def one_by_one(file: ELFFile) -> list[tuple[str, int, int, int | None]]:
    """Name, address, size and section of each symbol of the kinds above that is defined."""
    return [
        (
            symbol.name, symbol["st_value"], symbol["st_size"],
            symbol["st_shndx"] if isinstance(symbol["st_shndx"], int) else None,
        )
        for table in file.iter_sections() if isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols()
        if symbol.name and symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["type"] in KINDS
    ]  # fmt: skip


@pytest.mark.parametrize("flags", [("-g",), ("-g", "-O"), ("--emit=obj",)], ids=" ".join)
def test_each_defined_symbol_is_read_with_its_place(flags: tuple[str, ...]) -> None:
    file = open_elf(image_samples.compiled(*flags))
    read = [
        (one.name, one.vaddr, one.size, one.section) for one in symbols_of(file) if one.kind in KINDS.values()
    ]
    assert read == one_by_one(file)
    assert any(one.kind == STT_FUNC for one in symbols_of(file))


def test_a_file_of_32_bits_is_refused_by_its_class() -> None:
    file = open_elf(image_samples.compiled("-g"))
    file.elfclass = 32
    with pytest.raises(ImageError, match="64 bits, got 32"):
        list(symbols_of(file))


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(ImageError, match="expected no_such_function, got none of that name"):
        functions_code(image_samples.compiled("-g"), ["no_such_function"])
