"""Layouts of structures, and how an actual one differs from the contract's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

RESERVED = "reserved"
_RESERVED_NAME = re.compile(r"_?_?(reserved|padding|pad)", re.IGNORECASE)
_SCALAR = re.compile(r"(?:atomic)?([uif])(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class FieldLayout:
    """One leaf field; offset and size in bytes, kind such as `u64`, `pointer` or `reserved`."""

    name: str
    offset: int
    size: int
    kind: str

    @property
    def end(self) -> int:
        """One past its last byte, counted from the structure's start."""
        return self.offset + self.size

    @property
    def leaf(self) -> str:
        """The last part of a dotted path: `next` of `free_link.next`."""
        return self.name.rpartition(".")[2]

    @property
    def reserved(self) -> bool:
        """Whether it holds nothing, by its kind or by a name such as `_reserved` or `pad`."""
        return self.kind == RESERVED or _RESERVED_NAME.match(self.leaf) is not None

    @property
    def span(self) -> str:
        """Size and offset in words: `8 bytes at 16`."""
        return f"{self.size} {'byte' if self.size == 1 else 'bytes'} at {self.offset}"


@dataclass(frozen=True)
class StructLayout:
    """One structure; size in bytes. In a contract, alignment is the largest that is allowed."""

    name: str
    size: int
    alignment: int
    fields: tuple[FieldLayout, ...]

    @cached_property
    def widths(self) -> dict[str, int]:
        """Bits of each field that is not reserved, by its leaf name."""
        return {field.leaf: 8 * field.size for field in self.fields if not field.reserved}

    @cached_property
    def reserved(self) -> tuple[FieldLayout, ...]:
        """The fields that hold nothing."""
        return tuple(field for field in self.fields if field.reserved)

    def field_at(self, offset: int) -> str:
        """The leaf name of the field that a byte belongs to; `reserved` where there is none."""
        return self._by_byte[offset] if 0 <= offset < self.size else RESERVED

    @cached_property
    def _by_byte(self) -> tuple[str, ...]:
        names = [RESERVED] * self.size
        for field in self.fields:
            if not field.reserved:
                names[field.offset : field.end] = [field.leaf] * field.size
        return tuple(names)

    def field(self, leaf: str) -> FieldLayout | None:
        """The first field with that leaf name, None where there is none."""
        return next((field for field in self.fields if field.leaf == leaf), None)


@dataclass(frozen=True)
class LayoutDifference:
    """One way in which an actual structure departs from the expected one."""

    struct: str
    what: str
    field: str
    expected: str
    actual: str
    clause: str

    def __str__(self) -> str:
        which = f"{self.struct}.{self.field}" if self.field else self.struct
        return f"{self.what}: {which}: expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, eq=False)
class Layouts(Mapping[str, StructLayout]):
    """The structures of one contract by name, with the clauses that speak of them."""

    each: tuple[StructLayout, ...]
    size_clause: Mapping[str, str]
    """By structure the clause about its size and alignment."""
    field_clause: Mapping[str, str]
    """By structure the clause about its fields."""
    general: str
    """The clause of every other structure."""

    def __getitem__(self, name: str) -> StructLayout:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.each)

    @cached_property
    def _by_name(self) -> dict[str, StructLayout]:
        return {layout.name: layout for layout in self.each}

    def diff(self, expected: StructLayout, actual: StructLayout) -> list[LayoutDifference]:
        """Compare by leaf name; names and cuts of reserved bytes do not count, their use does.

        Returns:
            Differences in address order; empty when the layouts agree.
        """
        of_size = self.size_clause.get(expected.name, self.general)
        of_fields = self.field_clause.get(expected.name, self.general)
        return [
            *_whole(expected, actual, of_size),
            *_fields(expected, actual, of_fields),
            *_strangers(expected, actual, of_fields),
        ]


def _whole(expected: StructLayout, actual: StructLayout, clause: str) -> Iterator[LayoutDifference]:
    if actual.size != expected.size:
        sizes = (f"{expected.size} bytes", f"{actual.size} bytes")
        yield LayoutDifference(expected.name, "size", "", *sizes, clause)
    if not 0 < actual.alignment <= expected.alignment:
        bounds = (f"1 to {expected.alignment}", str(actual.alignment))
        yield LayoutDifference(expected.name, "alignment", "", *bounds, clause)


def _fields(expected: StructLayout, actual: StructLayout, clause: str) -> Iterator[LayoutDifference]:
    for want in expected.fields:
        if want.reserved:
            continue
        found = [field for field in actual.fields if field.leaf == want.leaf]
        if not found:
            yield LayoutDifference(expected.name, "field", want.leaf, want.span, "no such field", clause)
        elif len(found) > 1:
            places = " and ".join(str(field.offset) for field in found)
            yield LayoutDifference(expected.name, "field", want.leaf, want.span, f"two, at {places}", clause)
        elif (found[0].offset, found[0].size) != (want.offset, want.size):
            yield LayoutDifference(expected.name, "field", want.leaf, want.span, found[0].span, clause)
        elif not _same_kind(want.kind, found[0].kind):
            yield LayoutDifference(expected.name, "type", want.leaf, want.kind, found[0].kind, clause)


def _strangers(expected: StructLayout, actual: StructLayout, clause: str) -> Iterator[LayoutDifference]:
    known = {field.leaf for field in expected.fields if not field.reserved}
    for field in sorted(actual.fields, key=lambda field: field.offset):
        if not field.reserved and field.leaf not in known:
            yield LayoutDifference(expected.name, "field", field.leaf, "no such field", field.span, clause)


def _same_kind(expected: str, actual: str) -> bool:
    """Compare scalar types through their atomic wrappers; anything else is a matter of size alone."""
    want, got = _SCALAR.fullmatch(expected), _SCALAR.fullmatch(actual)
    if want is None or got is None:
        return True
    return want[1].lower() == got[1].lower() and want[2] == got[2]
