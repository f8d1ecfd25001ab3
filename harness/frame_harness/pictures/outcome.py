"""What a call should have done beside what it did: a picture of any finding, by its words alone."""

from __future__ import annotations

from collections.abc import Sequence

from frame_harness.pictures.svg import Picture, fitting

_WIDE, _BOX, _STEP, _GAP = 760.0, 30.0, 40.0, 24.0
_HALF = (_WIDE - _GAP) / 2
_LINES = 3


def svg(steps: Sequence[tuple[str, str]], *, expected: str, got: str, panicked: bool, title: str) -> str:
    """Draw the commands that led to it, one below the other, then the way it should have gone on, and did.

    Args:
        steps: (command, reply), the oldest first.
        panicked: what was got is a panic.
    """
    top = len(steps) * _STEP
    below = top + 24 if steps else 4.0
    picture = Picture(_WIDE + 16, below + 98, title=title)
    for at, (command, reply) in enumerate(steps):
        _draw_step(picture, at * _STEP + 4, command, reply, last=at == len(steps) - 1)
    if steps:
        for x, kind in ((8 + _HALF / 2, "ink dashed"), (8 + _HALF * 1.5 + _GAP, "wrong")):
            picture.polyline(
                [(_WIDE / 2 + 8, top - 6), (_WIDE / 2 + 8, top + 6), (x, top + 6), (x, top + 22)], kind
            )
    _draw_end(picture, 8, below, "expected", expected, "ending", "good")
    wrong = "ending-panic" if panicked else "ending-wrong"
    _draw_end(picture, 8 + _HALF + _GAP, below, "got", got, wrong, "bad")
    return picture.markup()


def _draw_step(picture: Picture, y: float, command: str, reply: str, *, last: bool) -> None:
    picture.rect(8, y, _WIDE, _BOX, "box")
    picture.text(20, y + 20, command, "strong" if last else "", room=_WIDE * 0.6)
    picture.text(_WIDE - 4, y + 20, reply, "bad strong" if last and reply.startswith("panic") else "faint",
                 room=_WIDE * 0.36, anchor="end")  # fmt: skip
    if not last:
        picture.line((_WIDE / 2 + 8, y + _BOX), (_WIDE / 2 + 8, y + _STEP), "rule")


def _draw_end(picture: Picture, x: float, y: float, label: str, words: str, shape: str, kind: str) -> None:
    height = 90.0
    if shape == "ending-panic":
        cut = 16
        picture.polygon(
            [
                (x + cut, y), (x + _HALF - cut, y), (x + _HALF, y + cut), (x + _HALF, y + height - cut),
                (x + _HALF - cut, y + height), (x + cut, y + height), (x, y + height - cut), (x, y + cut),
            ],
            shape,
        )  # fmt: skip
    else:
        picture.rect(x, y, _HALF, height, shape)
    sign = {"ending": "✓", "ending-wrong": "≠", "ending-panic": "✗"}[shape]
    picture.text(x + 18, y + 24, f"{sign} {label}", f"{kind} strong")
    for at, line in enumerate(_wrapped(words, _HALF - 36)):
        picture.text(x + 18, y + 44 + at * 17, line, "", room=_HALF - 30)


def _wrapped(words: str, room: float) -> list[str]:
    """The words on as many lines as a box has; the last one is cut where they are more."""
    lines: list[str] = []
    for word in words.split() or ["nothing"]:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and fitting(longer, room) == longer:
            lines[-1] = longer
        elif len(lines) < _LINES:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
