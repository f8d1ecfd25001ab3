"""Reads the shape of Rust types from debug information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.image.dies import CompilationUnit, Units

# A shape is JSON, so that it can be kept on disk:
#   ["scalar", numpy code, kind]            one value
#   ["array", shape of one element, count]
#   ["record", size, alignment, [[field name, offset, shape], …]]
Shape = list[Any]

# DWARF 5 section 7.8, table 7.11: what rustc uses.
_ENCODINGS = {
    0x02: ("u1", "bool"),
    0x04: ("f", "f"),
    0x05: ("i", "i"),
    0x07: ("u", "u"),
    0x08: ("u", "u"),
    0x10: ("u", "char"),
}
_WRAPPED = frozenset({"DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type"})
_POINTERS = frozenset({"DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_ptr_to_member_type"})
_RECORDS = frozenset({"DW_TAG_structure_type", "DW_TAG_union_type"})
# Types of the core library that hold one value of another type, each with nothing else of any size.
_TRANSPARENT = (
    "Atomic",
    "UnsafeCell",
    "SyncUnsafeCell",
    "Cell",
    "ManuallyDrop",
    "MaybeDangling",
    "MaybeUninit",
    "NonNull",
    "NonZero",
    "Wrapping",
)


class Shapes:
    """Decodes the types of a file, each once."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._known: dict[int, Shape] = {}

    def of(self, offset: int) -> Shape:
        """Return the shape of the type whose entry is at an offset."""
        if offset not in self._known:
            self._known[offset] = self._decode(offset)
        return self._known[offset]

    def _decode(self, offset: int) -> Shape:
        unit = self._units.at(offset)
        tag, attributes = unit.tag(offset), unit.attributes(offset)
        size = int(attributes.get("DW_AT_byte_size", 0))
        if tag in _WRAPPED:
            return self.of(attributes["DW_AT_type"])
        if tag in _POINTERS:
            return ["scalar", "<u8", "pointer"]
        if tag == "DW_TAG_base_type":
            return _base(size, int(attributes["DW_AT_encoding"]))
        if tag == "DW_TAG_enumeration_type":
            return ["scalar", f"<u{size}", f"u{8 * size}"]
        if tag == "DW_TAG_array_type":
            return self._array(offset, attributes)
        if tag in _RECORDS:
            return self._record(offset, attributes, size)
        return _bytes(size)

    def _array(self, offset: int, attributes: dict[str, Any]) -> Shape:
        unit = self._units.at(offset)
        shape = self.of(attributes["DW_AT_type"])
        counts = [
            int(unit.attributes(die.offset).get("DW_AT_count", 0))
            for die in unit.children(offset)
            if die.tag == "DW_TAG_subrange_type"
        ]
        for count in reversed(counts):
            shape = ["array", shape, count]
        return shape

    def _record(self, offset: int, attributes: dict[str, Any], size: int) -> Shape:
        unit = self._units.at(offset)
        members: list[tuple[str, int, int]] = []
        for die in unit.children(offset):
            if die.tag == "DW_TAG_variant_part":
                return self._variants(die.offset, size)
            if die.tag == "DW_TAG_member":
                member = unit.attributes(die.offset)
                at = int(member.get("DW_AT_data_member_location", 0))
                members.append((str(member.get("DW_AT_name", "")), at, int(member["DW_AT_type"])))
        fields: list[list[Any]] = [[name, at, self.of(kind)] for name, at, kind in members]
        fields = [field for field in fields if size_of(field[2]) > 0]  # markers and the like
        name = str(attributes.get("DW_AT_name", ""))
        if len(fields) == 1 and _is_transparent(name, fields[0][0]) and size_of(fields[0][2]) == size:
            return list(fields[0][2])
        if unit.tag(offset) == "DW_TAG_union_type":
            return _bytes(size)
        return ["record", size, int(attributes.get("DW_AT_alignment", 1)), fields]

    def _variants(self, offset: int, size: int) -> Shape:
        """Shape an enum with data: a pointer that may be null is a pointer, anything else plain bytes."""
        unit = self._units.at(offset)
        payloads: list[Shape] = []
        for die in unit.children(offset):
            if die.tag != "DW_TAG_variant":
                continue
            for inner in unit.children(die.offset):
                member = unit.attributes(inner.offset)
                # Each variant is a struct; one without content has no size to speak of.
                shape = self.of(int(member["DW_AT_type"]))
                if shape[0] == "record" and shape[3]:
                    payloads.append(shape[3][0][2] if len(shape[3]) == 1 else shape)
                elif shape[0] != "record":
                    payloads.append(shape)
        if len(payloads) == 1 and payloads[0][0] == "scalar" and payloads[0][2] == "pointer":
            return payloads[0] if size_of(payloads[0]) == size else _bytes(size)
        return _bytes(size)


def variants_of(unit: CompilationUnit, offset: int) -> list[str]:
    """Return the names of an enum's variants, in the order of its text; of anything else nothing."""
    names: list[str] = []
    for die in unit.children(offset):
        if die.tag == "DW_TAG_enumerator":
            names.append(str(unit.attributes(die.offset).get("DW_AT_name", "")))
        elif die.tag == "DW_TAG_variant_part":  # some variant has content
            names += [
                str(unit.attributes(member.offset).get("DW_AT_name", ""))
                for variant in unit.children(die.offset)
                if variant.tag == "DW_TAG_variant"
                for member in unit.children(variant.offset)
            ]
    return names


def size_of(shape: Shape) -> int:
    """Return how many bytes a shape spans."""
    if shape[0] == "scalar":
        return np.dtype(shape[1]).itemsize
    if shape[0] == "array":
        return size_of(shape[1]) * int(shape[2])
    return int(shape[1])


def to_layout(name: str, shape: Shape) -> StructLayout:
    """Return a record's fields down to scalars and arrays, nested records by dotted names."""
    fields = tuple(
        FieldLayout(leaf.path, leaf.offset, size_of(leaf.shape), _kind(leaf.shape)) for leaf in _leaves(shape)
    )
    return StructLayout(name, int(shape[1]), int(shape[2]), fields)


def to_dtype(shape: Shape) -> np.dtype[np.void]:
    """Return a record as a numpy type with the same offsets and size.

    The fields of a nested record stand beside the others under their own names; two of one name keep their
    path.
    """
    leaves = _leaves(shape)
    short = [leaf.path.rpartition(".")[2] for leaf in leaves]
    names = [name if short.count(name) == 1 else leaf.path for name, leaf in zip(short, leaves, strict=True)]
    return np.dtype(
        {
            "names": names,
            "formats": [_format(leaf.shape) for leaf in leaves],
            "offsets": [leaf.offset for leaf in leaves],
            "itemsize": int(shape[1]),
        }
    )


@dataclass(frozen=True)
class _Leaf:
    path: str
    offset: int
    shape: Shape


def _leaves(shape: Shape, prefix: str = "", base: int = 0) -> list[_Leaf]:
    found: list[_Leaf] = []
    for name, offset, inner in sorted(shape[3], key=lambda field: int(field[1])):
        if inner[0] == "record":
            found += _leaves(inner, f"{prefix}{name}.", base + int(offset))
        else:
            found.append(_Leaf(f"{prefix}{name}", base + int(offset), inner))
    return found


def _format(shape: Shape) -> Any:
    if shape[0] == "scalar":
        return shape[1]
    if shape[0] == "record":
        return to_dtype(shape)
    counts: list[int] = []
    while shape[0] == "array":
        counts.append(int(shape[2]))
        shape = shape[1]
    return (_format(shape), tuple(counts))


def _kind(shape: Shape) -> str:
    if shape[0] == "scalar":
        return str(shape[2])
    counts = ""
    while shape[0] == "array":
        counts += f"[{shape[2]}]"
        shape = shape[1]
    return f"{shape[2] if shape[0] == 'scalar' else f'record of {shape[1]} bytes'}{counts}"


def _base(size: int, encoding: int) -> Shape:
    code, kind = _ENCODINGS.get(encoding, ("V", "bytes"))
    if size not in {1, 2, 4, 8} or code == "V":
        return _bytes(size)  # u128, the unit type: numpy has no number for them
    if kind in {"bool", "char"}:
        return ["scalar", f"<u{size}", kind]
    return ["scalar", f"<{code}{size}", f"{kind}{8 * size}"]


def _bytes(size: int) -> Shape:
    return ["array", ["scalar", "<u1", "u8"], size]


def _is_transparent(name: str, only_field: str) -> bool:
    """Tell a wrapper (an atomic, a cell, a tuple struct of one) from a structure with one field so far."""
    return only_field == "__0" or name.startswith(_TRANSPARENT)
