"""A structure's layout as text: one character a byte, expected above actual."""

from dataclasses import dataclass

from frame_harness.contract.layout import FieldLayout, StructLayout

ROW = 64
_WORD = 8
_PADDING = "_"
_RESERVED = "·"
_CLASH = "#"
_LABEL = 10


@dataclass(frozen=True)
class _Row:
    label: str
    cells: str


def render(expected: StructLayout, actual: StructLayout) -> str:
    """Draw both layouts, mark the bytes that differ, list what became of each field.

    Returns:
        Lines of at most 76 columns; structures longer than 64 bytes continue below.
    """
    letters = _letters(expected, actual)
    above, below = _cells(expected, letters), _cells(actual, letters)
    length = max(len(above), len(below))
    above, below = above.ljust(length), below.ljust(length)
    marks = "".join(_mark(one, other) for one, other in zip(above, below, strict=True))
    lines = [f"{expected.name}: expected {expected.size} bytes, got {actual.size}"]
    for start in range(0, length, ROW):
        window = slice(start, start + ROW)
        rows = (
            _Row("", _ruler(start, min(ROW, length - start))),
            _Row("expected", above[window]),
            _Row("actual", below[window]),
            _Row("", marks[window]),
        )
        lines += [f"{row.label:<{_LABEL}}{row.cells}".rstrip() for row in rows if row.cells.strip()]
    return "\n".join([*lines, *_legend(expected, actual, letters)])


def _mark(one: str, other: str) -> str:
    unnamed = {_RESERVED, _PADDING}
    return " " if one == other or {one, other} == unnamed else "^"


def _letters(*layouts: StructLayout) -> dict[str, str]:
    letters: dict[str, str] = {}
    for layout in layouts:
        for field in layout.fields:
            if field.reserved or field.leaf in letters:
                continue
            name = [char for char in field.leaf if char.isalpha()]
            wishes = [*name[:1], *(char.upper() for char in name[:1]), *name, "?"]
            letters[field.leaf] = next((char for char in wishes if char not in letters.values()), "?")
    return letters


def _cells(layout: StructLayout, letters: dict[str, str]) -> str:
    """One character a byte; bytes that two fields share are a clash."""
    length = max([layout.size, *(field.end for field in layout.fields)])
    cells = [_PADDING] * length
    for field in layout.fields:
        for place in range(field.offset, field.end):
            taken = cells[place] != _PADDING
            cells[place] = _CLASH if taken else _RESERVED if field.reserved else letters[field.leaf]
    return "".join(cells)


def _ruler(start: int, length: int) -> str:
    return "".join(f"{start + word:<{_WORD}}" for word in range(0, length, _WORD))


def _legend(expected: StructLayout, actual: StructLayout, letters: dict[str, str]) -> list[str]:
    lines = []
    width = max(len(leaf) for leaf in letters)
    for leaf, letter in letters.items():
        want, got = expected.field(leaf), actual.field(leaf)
        what = _became(want, got)
        before = _place(want)
        after = "" if what == "" else f" -> {_place(got):<8} {what}"
        lines.append(f"  {letter} {leaf:<{width}}  {before:<8}{after}".rstrip())
    return [*lines, f"  {_RESERVED} reserved  {_PADDING} padding  {_CLASH} two fields  (offset+bytes)"]


def _place(field: FieldLayout | None) -> str:
    return "-" if field is None else f"{field.offset}+{field.size}"


def _became(want: FieldLayout | None, got: FieldLayout | None) -> str:
    if want is None:
        return "new"
    if got is None:
        return "gone"
    words = []
    if got.offset != want.offset:
        words.append(f"moved by {got.offset - want.offset:+d}")
    if got.size != want.size:
        words.append(f"{'widened' if got.size > want.size else 'narrowed'} by {abs(got.size - want.size)}")
    return ", ".join(words)
