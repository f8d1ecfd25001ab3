"""The names of files are read out of headers of line programs as DWARF 4 and 5 write them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from frame_harness.image.errors import ImageError
from frame_harness.image.line_files import LineHeaders

# DWARF 5 section 7.5.6, table 7.6, and section 6.2.4.1.
STRING, DATA16, LINE_STRP, STRP, UDATA = 0x08, 0x1E, 0x1F, 0x0E, 0x0F
PATH, FOLDER, SIZE, MD5 = 1, 2, 4, 5
LINE_STR = b"/kernel\0src\0other.rs\0"
STRINGS = b"zero\0frame.rs\0"
PADDING = b"\xee" * 7
"""In front of the header: it is found by its offset alone."""


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def header(version: int, tables: bytes, *, wide: bool = False) -> bytes:
    """A header up to its tables, as a compiler writes it; its program is left out."""
    word = 8 if wide else 4
    sizes = b"\x08\x00" if version >= 5 else b""  # of an address, of a segment selector
    opcodes = b"\x04" + b"\x01" * 3  # the first one that is no standard opcode, what each standard one takes
    most = b"\x01" if version >= 4 else b""  # operations of an instruction, at most
    return b"".join(
        (
            b"\xff" * 4 if wide else b"", number(0x1234, word), number(version, 2), sizes,
            number(0x1234, word), b"\x01", most, b"\x01\xfb\x0e", opcodes, tables,
        )
    )  # fmt: skip


def listed(folders: Sequence[bytes], files: Sequence[tuple[bytes, int]]) -> bytes:
    """The two lists of DWARF 4; time and length of a file take two bytes each here."""
    names = b"".join(folder + b"\0" for folder in folders)
    rows = b"".join(name + b"\0" + bytes([folder]) + b"\x80\x01\x81\x02" for name, folder in files)
    return names + b"\0" + rows + b"\0"


def table(formats: Sequence[tuple[int, int]], rows: Sequence[bytes]) -> bytes:
    """A table of DWARF 5: its format, then its rows."""
    form = b"".join(bytes(pair) for pair in formats)
    return bytes([len(formats)]) + form + bytes([len(rows)]) + b"".join(rows)


def files_of(data: bytes, comp_dir: str = "/build") -> list[str]:
    return LineHeaders(PADDING + data, LINE_STR, STRINGS).files(len(PADDING), comp_dir)


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_files_of_the_old_lists_count_from_one_and_lie_in_their_folders(version: int, wide: bool) -> None:
    tables = listed(
        [b"src", b"/rustc/core/src"],
        [
            (b"main.rs", 0),
            (b"frame.rs", 1),
            (b"mod.rs", 2),
            (b"../up.rs", 1),
            (b"/abs.rs", 1),
            (b"far.rs", 9),
        ],
    )
    assert files_of(header(version, tables, wide=wide)) == [
        "", "/build/main.rs", "/build/src/frame.rs", "/rustc/core/src/mod.rs", "/build/up.rs", "/abs.rs",
        "/build/far.rs",
    ]  # fmt: skip


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_files_of_the_new_tables_count_from_zero_and_may_be_told_in_other_sections(wide: bool) -> None:
    word = 8 if wide else 4
    folders = table([(PATH, LINE_STRP)], [number(0, word), number(LINE_STR.index(b"src"), word)])
    files = table(
        [(PATH, STRP), (FOLDER, UDATA)],
        [number(0, word) + b"\x00", number(STRINGS.index(b"frame"), word) + b"\x01"],
    )
    assert files_of(header(5, folders + files, wide=wide)) == ["/kernel/zero", "/build/src/frame.rs"]


def test_what_else_a_row_tells_is_passed_over() -> None:
    folders = table([(PATH, STRING)], [b"/a\0", b"b\0"])
    files = table(
        [(SIZE, UDATA), (PATH, STRING), (MD5, DATA16), (FOLDER, UDATA)],
        [b"\x80\x7f" + b"x.rs\0" + b"\x11" * 16 + b"\x00", b"\x05" + b"y.rs\0" + b"\x00" * 16 + b"\x01"],
    )
    assert files_of(header(5, folders + files)) == ["/a/x.rs", "/build/b/y.rs"]


def test_a_table_without_rows_or_formats_has_no_files() -> None:
    assert files_of(header(5, table([], []) + table([(PATH, STRING)], []))) == []
    assert files_of(header(4, listed([], []))) == [""]


def test_a_name_that_is_no_text_is_still_a_name() -> None:
    assert files_of(header(4, listed([], [(b"\xff.rs", 0)]))) == ["", "/build/\ufffd.rs"]


def test_a_form_that_no_compiler_writes_there_is_refused() -> None:
    rows = table([(PATH, 0x0B)], [b"\x01"])  # DWARF 5 table 7.6: DW_FORM_data1
    with pytest.raises(ImageError, match="form 0xb"):
        files_of(header(5, rows))
