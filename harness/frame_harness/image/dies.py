"""Steps through the entries of `.debug_info` fast.

pyelftools decodes every attribute of every entry. A kernel built for debugging has tens of thousands, and one
in ten tells what the harness asks: here any other one costs a table look-up. Headers of units stay with
pyelftools.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from frame_harness.image.abbreviations import (
    LEB,
    Abbreviation,
    Abbreviations,
    AbbreviationTable,
    skip_of,
    sleb,
    uleb,
)
from frame_harness.image.errors import ImageError
from frame_harness.image.line_files import LineHeaders

_REFERENCES = frozenset({"DW_FORM_ref1", "DW_FORM_ref2", "DW_FORM_ref4", "DW_FORM_ref8", "DW_FORM_ref_udata"})
_STRX = frozenset({"DW_FORM_strx", "DW_FORM_strx1", "DW_FORM_strx2", "DW_FORM_strx3", "DW_FORM_strx4"})


class Die(NamedTuple):
    """One entry: where it is, what it is, how deep, whether entries below it follow."""

    offset: int
    tag: str
    depth: int
    has_children: bool


@dataclass(frozen=True)
class Sections:
    """The bytes of the sections that entries lie in or point to."""

    info: bytes
    line: bytes
    str: bytes
    line_str: bytes
    str_offsets: bytes
    abbreviations: Abbreviations

    @classmethod
    def of(cls, dwarf: Any) -> Sections:
        """Read them once from pyelftools' view of a file, decompressed."""
        return cls(
            info=whole(dwarf.debug_info_sec),
            line=whole(dwarf.debug_line_sec),
            str=whole(dwarf.debug_str_sec),
            line_str=whole(dwarf.debug_line_str_sec),
            str_offsets=whole(dwarf.debug_str_offsets_sec),
            abbreviations=Abbreviations(whole(dwarf.debug_abbrev_sec)),
        )

    @property
    def line_headers(self) -> LineHeaders:
        """What tells the files of a line program."""
        return LineHeaders(self.line, self.line_str, self.str)


class CompilationUnit:
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
        self._abbreviations_at = int(unit["debug_abbrev_offset"])

    @cached_property
    def _table(self) -> AbbreviationTable:
        return self._sections.abbreviations.table(self._abbreviations_at, self._wide, self._address)

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
            code, offset = uleb(data, offset)
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
        code, at = uleb(self._data, offset)
        found: dict[str, Any] = {}
        for name, form, constant in self._kind(code).attributes:
            value, at = self._value(form, constant, at)
            found[name] = value
        return found

    def attribute(self, offset: int, wanted: str) -> Any | None:
        """Decode one attribute of an entry as `attributes` does; None where it has none of that name."""
        code, at = uleb(self._data, offset)
        for name, form, constant in self._kind(code).attributes:
            if name == wanted:
                return self._value(form, constant, at)[0]
            at = self._behind(form, at)
        return None

    def children(self, offset: int) -> Iterator[Die]:
        """Walk the entries directly below one."""
        for die in self.entries(offset):
            if die.depth == 1:
                yield die

    def attribute_names(self, offset: int) -> list[str]:
        """Return which attributes an entry has, without their values."""
        return [name for name, _, _ in self._kind(uleb(self._data, offset)[0]).attributes]

    def tag(self, offset: int) -> str:
        """The tag of the entry at an offset of the section; raises `ImageError` for one of no known kind."""
        return self._kind(uleb(self._data, offset)[0]).tag

    def _kind(self, code: int) -> Abbreviation:
        if code not in self._table:
            raise ImageError("debug information", f"entry of kind {code}", detail="no such kind")
        return self._table[code]

    def _value(self, form: str, constant: int | None, at: int) -> tuple[Any, int]:
        end = self._behind(form, at)
        if form == "DW_FORM_flag_present":
            return True, end
        if form == "DW_FORM_implicit_const":
            return constant, end
        if form == "DW_FORM_sdata":
            return sleb(self._data, at)
        plain = int.from_bytes(self._data[at:end], "little")
        number = uleb(self._data, at)[0] if form in LEB else plain
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

    def _behind(self, form: str, at: int) -> int:
        """Where a value of a form ends that begins at an offset."""
        skip = skip_of(form, self._wide, self._address)
        return at + skip if isinstance(skip, int) else skip(self._data, at)

    @cached_property
    def str_offsets_base(self) -> int:
        """Offset of string 0 in `.debug_str_offsets`; raises `ImageError` where strings have no numbers."""
        base = self.attribute(self.first, "DW_AT_str_offsets_base")
        if base is not None:
            return int(base)
        raise ImageError("debug information", "DW_AT_str_offsets_base", detail="a unit without it")

    def _indexed(self, index: int) -> str:
        base = self.str_offsets_base
        at = base + index * self._wide
        return _string(
            self._sections.str, int.from_bytes(self._sections.str_offsets[at : at + self._wide], "little")
        )


class Units:
    """All compilation units of a file; optimized code may refer from one to another."""

    def __init__(self, dwarf: Any) -> None:
        self.sections = Sections.of(dwarf)
        self._units = [CompilationUnit(cu, self.sections) for cu in dwarf.iter_CUs()]
        self._starts = [unit.first for unit in self._units]

    def __iter__(self) -> Iterator[CompilationUnit]:
        return iter(self._units)

    def files(self, unit: CompilationUnit, comp_dir: str | None = None) -> list[str]:
        """Return the files of a unit, by the number that its entries use for them; none without lines.

        Args:
            comp_dir: instead of the folder that the unit names.
        """
        top = unit.attributes(unit.first)
        if "DW_AT_stmt_list" not in top:
            return []
        folder = str(top.get("DW_AT_comp_dir", "")) if comp_dir is None else comp_dir
        return self.sections.line_headers.files(int(top["DW_AT_stmt_list"]), folder)

    def naming(self, name: str) -> list[CompilationUnit]:
        """Return each unit with an entry of that name, and perhaps others.

        A name lies in its entry, or in a section of strings: then its offset lies in the entry, or among the
        offsets that the unit's entries have the numbers of (DWARF 5 sections 7.5.5 and 7.26).
        """
        word = f"{name}\0".encode()
        in_info = set(_occurrences(self.sections.info, word))
        found: set[int] = set()
        for strings in (self.sections.str, self.sections.line_str):
            for at in _occurrences(strings, word):
                offset = at.to_bytes(4, "little")  # one of 64 bits begins with the same bytes
                in_info.update(_occurrences(self.sections.info, offset))
                for place in _occurrences(self.sections.str_offsets, offset):
                    found.update(self._numbering(place))
        found.update(index for index in map(self._index, in_info) if index >= 0)
        return [self._units[index] for index in sorted(found)]

    def _numbering(self, place: int) -> list[int]:
        """Return the units whose entries have the numbers of the string offsets around a place."""
        bases = self._str_offsets_bases
        base = max((base for base in bases if base <= place), default=None)
        return [] if base is None else bases[base]

    @cached_property
    def _str_offsets_bases(self) -> dict[int, list[int]]:
        bases: dict[int, list[int]] = {}
        for index, unit in enumerate(self._units):
            if "DW_AT_str_offsets_base" in unit.attribute_names(unit.first):
                bases.setdefault(unit.str_offsets_base, []).append(index)
        return bases

    def at(self, offset: int) -> CompilationUnit:
        """Return the unit that holds the entry at an offset.

        Raises:
            ImageError: it lies in no unit.
        """
        index = self._index(offset)
        if index < 0 or offset >= self._units[index].end:
            raise ImageError("debug information", f"entry {offset:#x}", detail="outside of every unit")
        return self._units[index]

    def _index(self, offset: int) -> int:
        """Return the number of the last unit that begins before an offset, -1 where none does."""
        return bisect_right(self._starts, offset) - 1


def whole(section: Any) -> bytes:
    """Return the bytes of a section as pyelftools has it, decompressed; of one that is not there none."""
    if section is None:
        return b""
    section.stream.seek(0)
    return bytes(section.stream.read())


def _occurrences(data: bytes, what: bytes) -> Iterator[int]:
    """Give each offset at which some bytes begin, those within one another included."""
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def _string(table: bytes, at: int) -> str:
    return _text(table[at : table.index(0, at)])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
