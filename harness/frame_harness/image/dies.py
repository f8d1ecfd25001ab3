"""Steps through the entries of `.debug_info` fast.

pyelftools decodes every attribute of every entry. A kernel built for debugging has tens of thousands, and one
in ten tells what the harness asks: here any other one costs a table look-up. Headers, abbreviations, line
programs stay with pyelftools.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
_LEB = frozenset(
    {
        "DW_FORM_udata", "DW_FORM_sdata", "DW_FORM_ref_udata", "DW_FORM_strx", "DW_FORM_addrx",
        "DW_FORM_loclistx", "DW_FORM_rnglistx",
    }
)  # fmt: skip
_BLOCKS = {"DW_FORM_block1": 1, "DW_FORM_block2": 2, "DW_FORM_block4": 4}
_REFERENCES = frozenset({"DW_FORM_ref1", "DW_FORM_ref2", "DW_FORM_ref4", "DW_FORM_ref8", "DW_FORM_ref_udata"})
_STRX = frozenset({"DW_FORM_strx", "DW_FORM_strx1", "DW_FORM_strx2", "DW_FORM_strx3", "DW_FORM_strx4"})

Skip = Callable[[bytes, int], int]


class Die(NamedTuple):
    """One entry: where it is, what it is, how deep, whether entries below it follow."""

    offset: int
    tag: str
    depth: int
    has_children: bool


@dataclass
class _Abbreviation:
    """How the entries of one kind are written."""

    tag: str
    has_children: bool
    attributes: list[tuple[str, str, int | None]]  # name, form, implicit constant
    fixed: int | None  # bytes of all attributes together, where that never varies
    skips: list[int | Skip] = field(default_factory=list)

    def end(self, data: bytes, at: int) -> int:
        if self.fixed is not None:
            return at + self.fixed
        for skip in self.skips:
            at = at + skip if isinstance(skip, int) else skip(data, at)
        return at


@dataclass(frozen=True)
class Sections:
    """The bytes of the sections that entries lie in or point to."""

    info: bytes
    str: bytes
    line_str: bytes
    str_offsets: bytes

    @classmethod
    def of(cls, dwarf: Any) -> Sections:
        """Read them once from pyelftools' view of a file, decompressed."""
        found = (
            dwarf.debug_info_sec, dwarf.debug_str_sec, dwarf.debug_line_str_sec, dwarf.debug_str_offsets_sec,
        )  # fmt: skip
        return cls(*(_whole(section) for section in found))


class Unit:
    """One compilation unit of an ELF file's `.debug_info`."""

    def __init__(self, unit: Any, sections: Sections) -> None:
        self.cu = unit
        self._sections = sections
        self._data = sections.info
        self._start = int(unit.cu_offset)
        self.first = int(unit.cu_die_offset)
        self.end = self._start + int(unit["unit_length"]) + (4 if unit.dwarf_format() == 32 else 12)
        self._wide = 4 if unit.dwarf_format() == 32 else 8
        self._address = int(unit["address_size"])
        self._table: dict[int, _Abbreviation] = {}

    def entries(self, at: int | None = None, *, below: frozenset[str] = frozenset()) -> Iterator[Die]:
        """Walk an entry and all below it in file order.

        Args:
            at: offset of the entry; the unit's own when not given.
            below: tags whose inner entries are passed over.
        """
        data, table = self._data, self._table
        offset = self.first if at is None else at
        depth = 0
        muted = 0  # depth at and above which nothing is shown; 0: nothing is muted
        while offset < self.end:
            start = offset
            code, offset = _uleb(data, offset)
            if code == 0:
                depth -= 1
                if muted and depth < muted:
                    muted = 0
                if depth <= 0:
                    return
                continue
            kind = table.get(code) or self._kind(code)
            if not muted:
                yield Die(start, kind.tag, depth, kind.has_children)
            offset = kind.end(data, offset)
            if kind.has_children:
                depth += 1
                if not muted and kind.tag in below:
                    muted = depth
            elif depth == 0:
                return

    def attributes(self, offset: int) -> dict[str, Any]:
        """Decode an entry: references as offsets in the section, strings as `str`, blocks as `bytes`."""
        code, at = _uleb(self._data, offset)
        found: dict[str, Any] = {}
        for name, form, constant in self._kind(code).attributes:
            value, at = self._value(form, constant, at)
            found[name] = value
        return found

    def children(self, offset: int) -> Iterator[Die]:
        """Walk the entries directly below one."""
        for die in self.entries(offset):
            if die.depth == 1:
                yield die

    def tag(self, offset: int) -> str:
        return self._kind(_uleb(self._data, offset)[0]).tag

    def _kind(self, code: int) -> _Abbreviation:
        if code not in self._table:
            try:
                declaration = self.cu.get_abbrev_table().get_abbrev(code)
            except KeyError as error:
                raise ImageError(
                    "debug information", f"entry of kind {code}", detail="no such kind"
                ) from error
            self._table[code] = self._compile(declaration)
        return self._table[code]

    def _compile(self, declaration: Any) -> _Abbreviation:
        attributes = [(str(spec.name), str(spec.form), spec.value) for spec in declaration["attr_spec"]]
        skips: list[int | Skip] = []
        for _, form, _ in attributes:
            skip = self._skip(form)
            if isinstance(skip, int) and skips and isinstance(skips[-1], int):
                skips[-1] += skip
            else:
                skips.append(skip)
        fixed = 0 if not skips else skips[0] if len(skips) == 1 and isinstance(skips[0], int) else None
        return _Abbreviation(
            str(declaration["tag"]), bool(declaration.has_children()), attributes, fixed, skips
        )

    def _skip(self, form: str) -> int | Skip:
        if form in _FIXED:
            return _FIXED[form]
        if form in _OFFSETS:
            return self._wide
        if form == "DW_FORM_addr":
            return self._address
        if form in _LEB:
            return lambda data, at: _uleb(data, at)[1]
        if form in _BLOCKS:
            width = _BLOCKS[form]
            return lambda data, at: at + width + int.from_bytes(data[at : at + width], "little")
        if form in {"DW_FORM_block", "DW_FORM_exprloc"}:
            return lambda data, at: sum(_uleb(data, at))
        if form == "DW_FORM_string":
            return lambda data, at: data.index(0, at) + 1
        raise ImageError("debug information", form, detail="a form that this reader does not know")

    def _value(self, form: str, constant: int | None, at: int) -> tuple[Any, int]:
        skip = self._skip(form)
        end = at + skip if isinstance(skip, int) else skip(self._data, at)
        if form == "DW_FORM_flag_present":
            return True, end
        if form == "DW_FORM_implicit_const":
            return constant, end
        if form == "DW_FORM_sdata":
            return _sleb(self._data, at), end
        plain = int.from_bytes(self._data[at:end], "little")
        number = _uleb(self._data, at)[0] if form in _LEB else plain
        if form in _REFERENCES:
            return number + self._start, end
        if form == "DW_FORM_strp":
            return _string(self._sections.str, number), end
        if form == "DW_FORM_line_strp":
            return _string(self._sections.line_str, number), end
        if form in _STRX:
            return self._indexed(number), end
        if form in {"DW_FORM_string", "DW_FORM_exprloc"} or form.startswith("DW_FORM_block"):
            raw = self._data[at:end]
            return (_text(raw[:-1]) if form == "DW_FORM_string" else raw), end
        return number, end

    def _indexed(self, index: int) -> str:
        base = int(self.cu.get_top_DIE().attributes["DW_AT_str_offsets_base"].value)
        at = base + index * self._wide
        return _string(
            self._sections.str, int.from_bytes(self._sections.str_offsets[at : at + self._wide], "little")
        )


class Units:
    """All compilation units of a file; optimized code may refer from one to another."""

    def __init__(self, dwarf: Any) -> None:
        sections = Sections.of(dwarf)
        self._units = [Unit(cu, sections) for cu in dwarf.iter_CUs()]
        self._starts = [unit.first for unit in self._units]

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units)

    def at(self, offset: int) -> Unit:
        """Return the unit that holds the entry at an offset."""
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset >= self._units[index].end:
            raise ImageError("debug information", f"entry {offset:#x}", detail="outside of every unit")
        return self._units[index]


def _whole(section: Any) -> bytes:
    if section is None:
        return b""
    section.stream.seek(0)
    return bytes(section.stream.read())


def _string(table: bytes, at: int) -> str:
    return _text(table[at : table.index(0, at)])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _uleb(data: bytes, at: int) -> tuple[int, int]:
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


def _sleb(data: bytes, at: int) -> int:
    value, end = _uleb(data, at)
    negative = data[end - 1] & 0x40
    return value - (1 << (7 * (end - at))) if negative else value
