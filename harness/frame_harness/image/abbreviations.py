"""Reads how the entries of `.debug_info` are written: the declarations in `.debug_abbrev`.

Units that share a table share what is made of it: a kernel built in pieces has hundreds of units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from elftools.dwarf.enums import ENUM_DW_AT, ENUM_DW_FORM, ENUM_DW_TAG

from frame_harness.image.errors import ImageError

# DWARF 5 section 7.5.6, table 7.6; DWARF 4 section 7.5.4. Sizes in bytes.
_FIXED = {
    "DW_FORM_data1": 1, "DW_FORM_data2": 2, "DW_FORM_data4": 4, "DW_FORM_data8": 8, "DW_FORM_data16": 16,
    "DW_FORM_ref1": 1, "DW_FORM_ref2": 2, "DW_FORM_ref4": 4, "DW_FORM_ref8": 8, "DW_FORM_ref_sig8": 8,
    "DW_FORM_flag": 1, "DW_FORM_flag_present": 0, "DW_FORM_implicit_const": 0,
    "DW_FORM_strx1": 1, "DW_FORM_strx2": 2, "DW_FORM_strx3": 3, "DW_FORM_strx4": 4,
    "DW_FORM_addrx1": 1, "DW_FORM_addrx2": 2, "DW_FORM_addrx3": 3, "DW_FORM_addrx4": 4,
}  # fmt: skip
_OFFSETS = frozenset({"DW_FORM_strp", "DW_FORM_line_strp", "DW_FORM_sec_offset", "DW_FORM_ref_addr"})
LEB = frozenset(
    {
        "DW_FORM_udata", "DW_FORM_sdata", "DW_FORM_ref_udata", "DW_FORM_strx", "DW_FORM_addrx",
        "DW_FORM_loclistx", "DW_FORM_rnglistx",
    }
)  # fmt: skip
_BLOCKS = {"DW_FORM_block1": 1, "DW_FORM_block2": 2, "DW_FORM_block4": 4}
_TAGS, _NAMES, _FORMS = (
    {value: name for name, value in known.items() if isinstance(value, int)}
    for known in (ENUM_DW_TAG, ENUM_DW_AT, ENUM_DW_FORM)
)

Skip = Callable[[bytes, int], int]


@dataclass
class Abbreviation:
    """How the entries of one kind are written."""

    tag: str
    has_children: bool
    attributes: list[tuple[str, str, int | None]]
    """Name, form, implicit constant of each."""
    fixed: int | None
    """Bytes of all attributes together, where that never varies."""
    skips: list[int | Skip] = field(default_factory=list)
    """Steps over them otherwise."""

    def end(self, data: bytes, at: int) -> int:
        """Return where an entry ends whose attributes begin at an offset."""
        if self.fixed is not None:
            return at + self.fixed
        for skip in self.skips:
            at = at + skip if isinstance(skip, int) else skip(data, at)
        return at


AbbreviationTable = dict[int, Abbreviation]
"""By code."""


class Abbreviations:
    """All tables of a file, each read once."""

    def __init__(self, data: bytes) -> None:
        """Take the bytes of `.debug_abbrev`."""
        self._data = data
        self._tables: dict[tuple[int, int, int], AbbreviationTable] = {}

    def table(self, offset: int, wide: int, address: int) -> AbbreviationTable:
        """Return the table at an offset.

        Args:
            wide: bytes of an offset in a section.
            address: bytes of an address.
        """
        key = (offset, wide, address)
        if key not in self._tables:
            self._tables[key] = self._read(offset, wide, address)
        return self._tables[key]

    def _read(self, at: int, wide: int, address: int) -> AbbreviationTable:
        data, table = self._data, AbbreviationTable()
        while True:
            code, at = uleb(data, at)
            if code == 0:
                return table
            tag, at = uleb(data, at)
            has_children = data[at] != 0
            attributes, at = self._attributes(at + 1)
            table[code] = _compiled(_TAGS.get(tag, str(tag)), has_children, attributes, wide, address)

    def _attributes(self, at: int) -> tuple[list[tuple[str, str, int | None]], int]:
        data = self._data
        attributes: list[tuple[str, str, int | None]] = []
        while True:
            name, at = uleb(data, at)
            number, at = uleb(data, at)
            if name == number == 0:
                return attributes, at
            form, constant = _FORMS.get(number, f"form {number:#x}"), None
            if form == "DW_FORM_implicit_const":
                constant, at = sleb(data, at)
            attributes.append((_NAMES.get(name, str(name)), form, constant))


def _compiled(
    tag: str, has_children: bool, attributes: list[tuple[str, str, int | None]], wide: int, address: int
) -> Abbreviation:
    skips: list[int | Skip] = []
    for _, form, _ in attributes:
        skip = skip_of(form, wide, address)
        if isinstance(skip, int) and skips and isinstance(skips[-1], int):
            skips[-1] += skip
        else:
            skips.append(skip)
    fixed = 0 if not skips else skips[0] if len(skips) == 1 and isinstance(skips[0], int) else None
    return Abbreviation(tag, has_children, attributes, fixed, skips)


def skip_of(form: str, wide: int, address: int) -> int | Skip:
    """Return how many bytes a value of a form takes, or what finds its end.

    Args:
        wide: bytes of an offset in a section.
        address: bytes of an address.
    Raises:
        ImageError: a form that is not known here.
    """
    if form in _FIXED:
        return _FIXED[form]
    if form in _OFFSETS:
        return wide
    if form == "DW_FORM_addr":
        return address
    if form in LEB:
        return lambda data, at: uleb(data, at)[1]
    if form in _BLOCKS:
        width = _BLOCKS[form]
        return lambda data, at: at + width + int.from_bytes(data[at : at + width], "little")
    if form in {"DW_FORM_block", "DW_FORM_exprloc"}:
        return lambda data, at: sum(uleb(data, at))
    if form == "DW_FORM_string":
        return lambda data, at: data.index(0, at) + 1
    raise ImageError("debug information", form, detail="a form that this reader does not know")


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned LEB128 number at an offset (DWARF 5 section 7.6), with the offset behind it."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """Return the signed LEB128 number at an offset (DWARF 5 section 7.6), with the offset behind it."""
    value, end = uleb(data, at)
    negative = data[end - 1] & 0x40
    return (value - (1 << (7 * (end - at))) if negative else value), end
