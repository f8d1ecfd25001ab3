"""Lines of source as pictures show them."""

from __future__ import annotations

from frame_harness.pictures.svg import Anchor, Picture

ROOM = 150.0


def write_place(picture: Picture, x: float, y: float, at: str, anchor: Anchor = "start") -> None:
    """Write `frame.rs:291`; the whole path is shown to who points at it."""
    picture.text(x, y, at.rpartition("/")[2], "faint", room=ROOM, anchor=anchor, whole=at)


def lines_of(words: str, room: int) -> list[str]:
    """Break words into lines of so many characters; what has no blank keeps its length."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
