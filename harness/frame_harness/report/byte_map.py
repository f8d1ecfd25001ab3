"""The bytes of a slot field by field, those that were promised above those that were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.judge.evidence import SlotBytes

_WIDEST = 110
_GAP = 1


@dataclass(frozen=True)
class Cell:
    """One field: what stands above its bytes, what was promised of them where they differ, what was found."""

    name: str
    expected: str
    got: str
    wrong: bool

    @property
    def width(self) -> int:
        """Characters that the widest of its three lines takes."""
        return max(map(len, (self.name, self.expected, self.got)))


def cells(slot: SlotBytes, field: str, layout: StructLayout) -> Sequence[Cell]:
    """The fields in the order of their bytes; each value has its most significant byte first.

    Args:
        field: the one that the finding is about.
    """
    return [_cell(slot, field, one) for one in layout.fields]


def _cell(slot: SlotBytes, named: str, field: FieldLayout) -> Cell:
    data = slot.data[field.offset : field.end]
    if field.reserved:
        same = len(set(data)) == 1 and len(data) > 1
        got = f"{data[0]:02x}×{len(data)}" if same else data.hex()
        return Cell(f"+{field.offset}", "", got, False)
    got = data[::-1].hex()
    promised = slot.expected.get(field.leaf)
    expected = "" if promised is None else f"{promised:0{2 * field.size}x}"
    expected = "" if expected == got else expected
    return Cell(field.leaf, expected, got, bool(expected) or field.leaf == named)


class ByteMap:
    """Draws the cells as far as they go into a line, then goes on in the next."""

    def __init__(self, slot: SlotBytes, field: str, layout: StructLayout, indent: int, label: int) -> None:
        self._cells = cells(slot, field, layout)
        self._indent, self._label = indent, label

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = min(options.max_width, _WIDEST) - self._indent - self._label - _GAP
        for number, row in enumerate(_rows(self._cells, room)):
            yield self._line("slot" if number == 0 else "", row, [(cell.name, "dim") for cell in row])
            if any(cell.expected for cell in row):
                yield self._line("expected", row, [(cell.expected, "bold green") for cell in row])
            marks = [(cell.got, "bold red" if cell.wrong else "") for cell in row]
            yield self._line("got", row, marks)

    def _line(self, label: str, row: Sequence[Cell], words: Sequence[tuple[str, str]]) -> Text:
        line = Text(" " * self._indent)
        line.append(label.ljust(self._label + _GAP), style="dim")
        for cell, (word, style) in zip(row, words, strict=True):
            line.append(word.ljust(cell.width + _GAP), style=style)
        line.rstrip()
        line.no_wrap, line.overflow = True, "ignore"
        return line


def _rows(left: Sequence[Cell], room: int) -> Iterator[Sequence[Cell]]:
    row: list[Cell] = []
    for cell in left:
        if row and sum(one.width + _GAP for one in row) + cell.width > room:
            yield row
            row = []
        row.append(cell)
    if row:
        yield row
