"""A range of physical addresses at the end of the address space: what is in it, what lies beyond."""

from __future__ import annotations

from typing import Final

from frame_harness.base.units import PAGE_SIZE
from frame_harness.pictures.svg import Picture

END: Final = 1 << 52
"""The first number that is no physical address."""
_SHOWN, _BEYOND, _WIDE, _TOP, _HIGH = 7, 2, 92.0, 48.0, 40.0


def near_the_end(first: int, last: int) -> bool:
    """Whether a range ends so near to the end of the address space that the axis shows it."""
    return first <= last and END - _SHOWN * PAGE_SIZE <= last < END


def svg(first: int, last: int, *, panicked: bool, title: str) -> str:
    """Draw the last frames there are, those of the range in color, and what would come behind them.

    Args:
        first, last: addresses of the first and the last frame of the range.
        panicked: whether walking the range ended in a panic.
    """
    picture = Picture(16 + (_SHOWN + _BEYOND) * _WIDE, _TOP + _HIGH + 56, title=title)
    for at in range(_SHOWN + _BEYOND):
        address, x = END + (at - _SHOWN) * PAGE_SIZE, 8 + at * _WIDE
        inside, beyond = first <= address <= last, address >= END
        kind = "box dashed" if beyond else "state-6" if inside else "box"
        picture.rect(x, _TOP, _WIDE - 4, _HIGH, kind, tip=f"{address:#x}")
        words = "no address" if beyond else "in range" if inside else ""
        picture.text(x + _WIDE / 2, _TOP + 25, words, "sign strong" if inside else "faint", anchor="middle")
        picture.text(
            x + _WIDE / 2, _TOP + _HIGH + 18, f"…{address % (1 << 16):04x}", "faint", anchor="middle"
        )
    edge = 8 + _SHOWN * _WIDE - 2
    picture.line((edge, _TOP - 26), (edge, _TOP + _HIGH + 24), "ink")
    picture.text(edge - 8, _TOP - 16, "the last physical frame", "faint", anchor="end")
    if panicked:
        start = 8 + (min(last, END - 1) // PAGE_SIZE - END // PAGE_SIZE + _SHOWN + 0.5) * _WIDE
        picture.arrow((start, _TOP + _HIGH + 36), (edge + _WIDE / 2, _TOP + _HIGH + 36), "wrong", "bad")
        picture.text(edge + _WIDE / 2 + 12, _TOP + _HIGH + 41, "✗ panic", "bad strong")
    return picture.markup()
