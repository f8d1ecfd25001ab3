"""The expected layout of the frame module's three structures, written by hand from the contract."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
        return self.offset + self.size

    @property
    def leaf(self) -> str:
        """The last part of a dotted path: `next` of `free_link.next`."""
        return self.name.rpartition(".")[2]

    @property
    def reserved(self) -> bool:
        return self.kind == RESERVED or _RESERVED_NAME.match(self.leaf) is not None

    @property
    def span(self) -> str:
        return f"{self.size} {'byte' if self.size == 1 else 'bytes'} at {self.offset}"


@dataclass(frozen=True)
class StructLayout:
    """One structure; size in bytes. In `EXPECTED`, alignment is the largest that is allowed."""

    name: str
    size: int
    alignment: int
    fields: tuple[FieldLayout, ...]

    def field(self, leaf: str) -> FieldLayout | None:
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


META_SLOT = StructLayout(
    "MetaSlot",
    size=64,
    alignment=64,
    fields=(
        FieldLayout("next", 0, 8, "u64"),
        FieldLayout("prev", 8, 8, "u64"),
        FieldLayout("vtable", 16, 8, "u64"),
        FieldLayout("flags", 24, 4, "u32"),
        FieldLayout("order", 28, 1, "u8"),
        FieldLayout("reserved0", 29, 3, RESERVED),
        FieldLayout("refcount", 32, 4, "u32"),
        FieldLayout("generation", 36, 4, "u32"),
        FieldLayout("guard", 40, 4, "u32"),
        FieldLayout("meta_aux", 44, 4, "u32"),
        FieldLayout("reserved_tail", 48, 16, RESERVED),
    ),
)
FREE_LIST_LINK = StructLayout(
    "FreeListLink",
    size=16,
    alignment=64,
    fields=(FieldLayout("next", 0, 8, "u64"), FieldLayout("prev", 8, 8, "u64")),
)
FRAME_META_VTABLE = StructLayout(
    "FrameMetaVtable",
    size=64,
    alignment=64,
    fields=(
        FieldLayout("on_last_ref", 0, 8, "pointer"),
        FieldLayout("on_unmap", 8, 8, "pointer"),
        FieldLayout("reserved", 16, 48, RESERVED),
    ),
)
EXPECTED: dict[str, StructLayout] = {
    layout.name: layout for layout in (META_SLOT, FREE_LIST_LINK, FRAME_META_VTABLE)
}

_SIZE_CLAUSE = {"MetaSlot": "LAYOUT-01", "FreeListLink": "LAYOUT-04", "FrameMetaVtable": "LAYOUT-05"}
_FIELD_CLAUSE = {"MetaSlot": "LAYOUT-02", "FreeListLink": "LAYOUT-04", "FrameMetaVtable": "LAYOUT-05"}


def diff(expected: StructLayout, actual: StructLayout) -> list[LayoutDifference]:
    """Compare by leaf name; names and cuts of reserved bytes do not count, their use does.

    Returns:
        Differences in address order; empty when the layouts agree.
    """
    return [*_whole(expected, actual), *_fields(expected, actual), *_strangers(expected, actual)]


def _whole(expected: StructLayout, actual: StructLayout) -> Iterator[LayoutDifference]:
    clause = _SIZE_CLAUSE.get(expected.name, "LAYOUT-07")
    if actual.size != expected.size:
        sizes = (f"{expected.size} bytes", f"{actual.size} bytes")
        yield LayoutDifference(expected.name, "size", "", *sizes, clause)
    if not 0 < actual.alignment <= expected.alignment:
        bounds = (f"1 to {expected.alignment}", str(actual.alignment))
        yield LayoutDifference(expected.name, "alignment", "", *bounds, clause)


def _fields(expected: StructLayout, actual: StructLayout) -> Iterator[LayoutDifference]:
    clause = _FIELD_CLAUSE.get(expected.name, "LAYOUT-07")
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


def _strangers(expected: StructLayout, actual: StructLayout) -> Iterator[LayoutDifference]:
    clause = _FIELD_CLAUSE.get(expected.name, "LAYOUT-07")
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
