"""A forced interleaving as a sequence diagram: two CPUs, the slot between them, time from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from frame_harness.judge.diagrams import Interleaving, SlotAccess
from frame_harness.pictures.places import write_place
from frame_harness.pictures.svg import CHAR, Picture

WIDTH: Final = 1040.0
FIRST_X, SLOT_X, SECOND_X = 222.0, 520.0, 818.0
TOP: Final = 74.0
ROW: Final = 34.0
MOST_ROWS: Final = 40
"""Of accesses; where there are more, those to other fields are left out, then those in the middle."""
_BAR: Final = 5.0
_KINDS: Final = {1: "first", 2: "second"}


@dataclass(frozen=True)
class _Row:
    """A line of the picture: an access, by its index; or where the first CPU is held."""

    access: int | None = None


def svg(diagram: Interleaving) -> str:
    """The picture as SVG."""
    first, second = diagram.operations
    rows, left_out = _rows(diagram)
    height = TOP + ROW * (len(rows) + 0.5) + (126 if diagram.orders[0] == diagram.orders[1] else 146)
    picture = Picture(
        WIDTH, height, title=f"{first} and {second} on two CPUs", description=_description(diagram)
    )
    bottom = TOP + ROW * (len(rows) + 0.5)
    _heads(picture, diagram, bottom)
    _bars(picture, diagram, rows)
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 1)
        if row.access is None:
            _hold(picture, diagram, y)
        else:
            _access(picture, diagram.accesses[row.access], y, wrong=row.access in diagram.wrong)
    _notes(picture, diagram, left_out, bottom + 16)
    _outcome(picture, diagram, bottom + 44)
    return picture.markup()


def _description(diagram: Interleaving) -> str:
    return f"{diagram.what}: expected {diagram.expected}, got {diagram.got}"


def _rows(diagram: Interleaving) -> tuple[list[_Row], int]:
    """The rows from top to bottom; how many accesses have none."""
    shown = range(len(diagram.accesses))
    if len(shown) > MOST_ROWS:
        fields = {diagram.field, diagram.hold.field}
        near = [at for at in shown if diagram.accesses[at].field in fields] or list(shown)
        kept: Sequence[int] = near[: MOST_ROWS // 2] + near[MOST_ROWS // 2 :][-MOST_ROWS // 2 :]
    else:
        kept = shown
    ahead = [_Row(at) for at in kept if at < diagram.held_after]
    behind = [_Row(at) for at in kept if at >= diagram.held_after]
    return [*ahead, _Row(), *behind], len(shown) - len(kept)


def _heads(picture: Picture, diagram: Interleaving, bottom: float) -> None:
    for x, words in ((FIRST_X, diagram.operations[0]), (SECOND_X, diagram.operations[1])):
        picture.rect(x - 175, 8, 350, 44, "box")
        cpu = 1 if x == FIRST_X else 2
        picture.text(x, 26, f"CPU {cpu}", f"strong {_KINDS[cpu]}", anchor="middle")
        picture.text(x, 44, words, anchor="middle", room=336)
        picture.line((x, 52), (x, bottom), "rule")
    picture.rect(SLOT_X - 60, 8, 120, 44, "box")
    picture.text(SLOT_X, 26, "slot", "strong", anchor="middle")
    picture.text(SLOT_X, 44, diagram.state, "faint", anchor="middle", room=114)
    picture.line((SLOT_X, 52), (SLOT_X, bottom), "rule dashed")


def _bars(picture: Picture, diagram: Interleaving, rows: Sequence[_Row]) -> None:
    """Show on each CPU's line when it runs, and when the first one is held."""
    hold = next(number for number, row in enumerate(rows) if row.access is None)
    behind = [n for n, row in enumerate(rows) if row.access is not None and row.access >= _behind(diagram)]
    resumed = behind[0] if behind else len(rows)
    _bar(picture, FIRST_X, 0, hold, "box stroke-first")
    _bar(picture, SECOND_X, hold + 0.5, resumed, "box stroke-second")
    if resumed < len(rows):
        _bar(picture, FIRST_X, resumed, len(rows), "box stroke-first")
    y = TOP + ROW * (hold + 1)
    picture.line((FIRST_X, y - ROW / 2), (FIRST_X, TOP + ROW * (resumed + 0.5)), "wrong dashed")


def _behind(diagram: Interleaving) -> int:
    return diagram.held_after + diagram.meanwhile


def _bar(picture: Picture, x: float, first: float, last: float, kind: str) -> None:
    top, bottom = TOP + ROW * (first + 0.5), TOP + ROW * (last + 0.5)
    if bottom > top:
        picture.rect(x - _BAR, top, 2 * _BAR, bottom - top, kind)


def _hold(picture: Picture, diagram: Interleaving, y: float) -> None:
    hold = diagram.hold
    picture.circle(FIRST_X, y - ROW / 2 + 6, 5, "bad")
    line = hold.at.rpartition("/")[2]
    words = f"held inside {line}" if hold.inside else f"held before {hold.field or line}"
    picture.text(FIRST_X - 18, y - 1, words, "bad", anchor="end", room=FIRST_X - 26)


def _access(picture: Picture, access: SlotAccess, y: float, *, wrong: bool) -> None:
    first = access.cpu == 1
    lane = FIRST_X + _BAR if first else SECOND_X - _BAR
    inner = SLOT_X - 4 if first else SLOT_X + 4
    kind, head = ("wrong", "bad") if wrong else (f"stroke-{_KINDS[access.cpu]}", f"fill-{_KINDS[access.cpu]}")
    middle = (lane + inner) / 2
    if access.writes:
        picture.arrow((lane, y), (inner, y), kind, head)
    if access.reads:
        picture.arrow((inner, y), (lane, y), kind, head)
    room = abs(inner - lane) - 16
    picture.text(middle, y - 6, words_of(access), "bad" if wrong else "", anchor="middle", room=room)
    write_place(picture, lane + (-18 if first else 18), y + 4, access.at, "end" if first else "start")


def words_of(access: SlotAccess) -> str:
    """An access in words: `load refcount: 0x5`, or `refcount: 0x5 → 0x6`, which is an update."""
    values = [f"{value:#x}" for value in (access.found, access.left) if value is not None]
    name = "load " if access.reads else "store "
    if access.reads and access.writes:
        name = "" if values else "update "
    return f"{name}{access.field}" + (f": {' → '.join(values)}" if values else "")


def _notes(picture: Picture, diagram: Interleaving, left_out: int, y: float) -> None:
    notes = []
    if left_out:
        notes.append(f"left out: {left_out} of {len(diagram.accesses)} accesses")
    if diagram.alone:
        notes.append("what follows was not recorded")
    if not diagram.accesses and not diagram.alone:
        notes.append("the accesses were not recorded")
    picture.text(SLOT_X, y, "; ".join(notes), "faint", anchor="middle", room=WIDTH - 40)


def _outcome(picture: Picture, diagram: Interleaving, y: float) -> None:
    """What came of it, against what comes of the two orders."""
    one, other = diagram.orders
    legal = (
        [("either order", one)]
        if one == other
        else [("CPU 1, then CPU 2", one), ("CPU 2, then CPU 1", other)]
    )
    picture.rect(24, y - 20, WIDTH - 48, 52 + 20 * len(legal), "box")
    picture.text(40, y, diagram.part, "strong", room=WIDTH - 80)
    rows = [("✗", "as above", diagram.got, "bad"), *(("✓", name, value, "good") for name, value in legal)]
    for number, (sign, name, value, kind) in enumerate(rows):
        base = y + 20 * (number + 1)
        picture.text(40, base, f"{sign} {name}", kind)
        picture.text(40 + 22 * CHAR, base, value, kind, room=WIDTH - 100 - 22 * CHAR)
