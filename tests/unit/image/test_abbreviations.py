"""Proves that entries of debug information are stepped over by their forms alone."""

from __future__ import annotations

import pytest

from frame_harness.image.abbreviations import Abbreviations, skip_of, sleb, uleb
from frame_harness.image.errors import ImageError

# DWARF 5: a unit with a name (string), a language (data2), a constant without bytes; then a member.
DECLARED = bytes(
    [
        *(1, 0x11, 1), *(0x03, 0x08), *(0x13, 0x05), *(0x0B, 0x21, 0x7E), *(0, 0),
        *(2, 0x0D, 0), *(0x0B, 0x0B), *(0x49, 0x13), *(0, 0),
        0,
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("written", "unsigned", "signed"),
    [(b"\x02", 2, 2), (b"\x7f", 127, -1), (b"\x80\x01", 128, 128), (b"\xe5\x8e\x26", 624485, 624485),
     (b"\x80\x7f", 16256, -128)],
)  # fmt: skip
def test_leb128_numbers_are_read_as_the_standard_has_them(written: bytes, unsigned: int, signed: int) -> None:
    padded = b"\xff" + written + b"\xff"
    assert uleb(padded, 1) == (unsigned, 1 + len(written))
    assert sleb(padded, 1) == (signed, 1 + len(written))


def test_a_table_tells_tags_attributes_and_children() -> None:
    table = Abbreviations(DECLARED).table(0, wide=4, address=8)
    assert {code: (one.tag, one.has_children) for code, one in table.items()} == {
        1: ("DW_TAG_compile_unit", True),
        2: ("DW_TAG_member", False),
    }
    assert table[1].attributes == [
        ("DW_AT_name", "DW_FORM_string", None),
        ("DW_AT_language", "DW_FORM_data2", None),
        ("DW_AT_byte_size", "DW_FORM_implicit_const", -2),
    ]


def test_an_entry_of_fixed_size_and_one_with_a_text_end_where_the_next_begins() -> None:
    table = Abbreviations(DECLARED).table(0, wide=4, address=8)
    assert table[2].fixed == 5 and table[2].end(b"", 7) == 12
    assert table[1].fixed is None and table[1].end(b"?frame.rs\0\x1c\x00!", 1) == 12


def test_a_table_is_read_once_for_each_size_of_addresses() -> None:
    tables = Abbreviations(DECLARED)
    assert tables.table(0, 4, 8) is tables.table(0, 4, 8)
    assert tables.table(0, 4, 8) is not tables.table(0, 8, 8)


@pytest.mark.parametrize(
    ("form", "size"),
    [("DW_FORM_data16", 16), ("DW_FORM_strp", 4), ("DW_FORM_addr", 8), ("DW_FORM_flag_present", 0)],
)
def test_sizes_follow_the_form(form: str, size: int) -> None:
    assert skip_of(form, 4, 8) == size


@pytest.mark.parametrize(
    ("form", "data"),
    [("DW_FORM_block2", b"\x03\x00abc"), ("DW_FORM_exprloc", b"\x02ab"), ("DW_FORM_udata", b"\x80\x01")],
)
def test_what_tells_its_own_length_is_passed_whole(form: str, data: bytes) -> None:
    skip = skip_of(form, 4, 8)
    assert not isinstance(skip, int) and skip(b"?" + data + b"?", 1) == 1 + len(data)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ImageError, match="form 0x99"):
        skip_of("form 0x99", 4, 8)
