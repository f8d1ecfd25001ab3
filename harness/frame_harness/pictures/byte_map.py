"""The bytes of one slot, field by field: what they should be above what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.slot_words import FLAGS, GUARDS
from frame_harness.pictures.svg import Picture

ByteRow = tuple[str, Mapping[str, int]]
"""A label such as `expected`, and the fields that are known then, each as one number."""

_NAME, _LABEL, _BYTE, _LINE = 140.0, 76.0, 25.0, 20.0
_VALUE = 400.0
_POINTER = 8
_BITS = {"flags": FLAGS, "guard": GUARDS}
_SPECIAL = {
    ("refcount", C.refcount_unused): "unused",
    ("refcount", 0): "nobody",
    ("next", C.link_none): "end",
    ("prev", C.link_none): "end",
    ("vtable", 0): "none",
}


def svg(layout: StructLayout, rows: Sequence[ByteRow], *, field: str = "", title: str) -> str:
    """Draw the fields that are known or wrong; bytes stand as in memory, the lowest address first.

    Args:
        rows: the last one is what was found. `expected` is what it is held against, else the row before it.
        field: the one that the finding is about.
    """
    shown = [one for one in layout.fields if _is_shown(one, rows)]
    compared = [_lines_of(one, rows) for one in shown]
    height = 30 + sum(len(lines) * _LINE + 6 for lines in compared)
    picture = Picture(_NAME + _LABEL + 8 * _BYTE + _VALUE, height, title=title)
    picture.text(8, 16, "field", "faint")
    picture.text(_NAME + _LABEL, 16, "bytes in memory order", "faint")
    picture.text(_NAME + _LABEL + 8 * _BYTE + 12, 16, "value", "faint")
    y = 26.0
    for one, lines in zip(shown, compared, strict=True):
        _draw_field(picture, y, one, lines, rows, marked=one.leaf == field)
        y += len(lines) * _LINE + 6
    return picture.markup()


def _is_shown(field: FieldLayout, rows: Sequence[ByteRow]) -> bool:
    """Whether a field is known; reserved bytes are of interest where they are used."""
    values = [known[field.name] for _, known in rows if field.name in known]
    return any(values) if field.reserved else bool(values)


def _lines_of(field: FieldLayout, rows: Sequence[ByteRow]) -> list[tuple[str, int]]:
    """The values to show of a field: one where all agree."""
    known = [(label, values[field.name]) for label, values in rows if field.name in values]
    same = len({value for _, value in known}) == 1
    return [("", known[-1][1])] if same else known


def _draw_field(
    picture: Picture,
    y: float,
    field: FieldLayout,
    lines: Sequence[tuple[str, int]],
    rows: Sequence[ByteRow],
    *,
    marked: bool,
) -> None:
    differs = len(lines) > 1
    height = len(lines) * _LINE
    if marked:
        picture.rect(2, y - 3, picture.width - 4, height + 4, "highlight")
    picture.text(8, y + 14, field.leaf, "strong" if marked or differs else "", room=_NAME - 44)
    picture.text(_NAME - 10, y + 14, f"+{field.offset}", "faint", anchor="end")
    against = _against(field, rows)
    for at, (label, value) in enumerate(lines):
        last = differs and at == len(lines) - 1
        _draw_value(picture, y + at * _LINE, field, label, value, against if last else None)


def _against(field: FieldLayout, rows: Sequence[ByteRow]) -> int | None:
    """What the last row is held against: what is expected, else what was before."""
    wanted = next((values for label, values in rows if label == "expected" and field.name in values), None)
    before = next((values for _, values in reversed(rows[:-1]) if field.name in values), None)
    found = wanted if wanted is not None else before
    return None if found is None else found[field.name]


def _draw_value(
    picture: Picture, y: float, field: FieldLayout, label: str, value: int, against: int | None
) -> None:
    differs = against is not None and against != value
    kind = "bad" if differs and label == "got" else "good" if label == "expected" else ""
    picture.text(_NAME, y + 14, label, kind or "faint")
    size = min(field.size, 8)
    data = value.to_bytes(max(field.size, (value.bit_length() + 7) // 8), "little")[:size]
    other = (against or 0).to_bytes(max(field.size, 8), "little")[:size]
    for at, byte in enumerate(data):
        x = _NAME + _LABEL + at * _BYTE
        wrong = differs and byte != other[at]
        picture.rect(x, y + 1, _BYTE - 3, _LINE - 4, ("box wrong-byte" if wrong else "box"))
        picture.text(
            x + (_BYTE - 3) / 2, y + 14, f"{byte:02x}", "bad strong" if wrong else "", anchor="middle"
        )
    x = _NAME + _LABEL + 8 * _BYTE + 12
    sign = "≠ " if differs else ""
    picture.text(x, y + 14, sign + meaning(field.leaf, value), kind, room=_VALUE - 16)


def meaning(field: str, value: int) -> str:
    """A field's value in words, such as `0x500 KERNEL ALLOCATED`."""
    if field == "vtable" and value % _POINTER:
        return f"{value:#x}, {value % _POINTER} beyond a multiple of {_POINTER}"
    names = _BITS.get(field)
    if names is None:
        word = _SPECIAL.get((field, value))
        shown = str(value) if field in ("order", "generation") else f"{value:#x}"
        return f"{shown} {word}" if word else shown
    known = [name for name, bit in names.items() if value & bit]
    rest = value & ~sum(names.values())
    return " ".join([f"{value:#x}", *known, *([f"+{rest:#x}"] if rest else [])])
