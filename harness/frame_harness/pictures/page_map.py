"""The bytes of one page, as a square of 64 by 64: which hold something where nothing should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE
from frame_harness.pictures.svg import Picture

_SIDE, _CELL, _TOP, _GAP = 64, 3.0, 44.0, 96.0
_WIDE = _SIDE * _CELL


def svg(wrong: NDArray[np.bool_], *, expected: str, got: str, title: str) -> str:
    """Draw the page as it should be beside the page as it is.

    Args:
        wrong: shape (4096,), the bytes that hold something else than they should.
    """
    picture = Picture(2 * _WIDE + _GAP + 100, _TOP + _WIDE + 34, title=title)
    _draw_page(picture, 8, "expected", expected, np.zeros(PAGE_SIZE, np.bool_), "good")
    _draw_page(picture, 8 + _WIDE + _GAP, "got", got, wrong, "bad")
    middle = _TOP + _WIDE / 2
    picture.text(8 + _WIDE + _GAP / 2, middle, "≠", "strong", anchor="middle")
    count = int(np.count_nonzero(wrong))
    picture.text(
        8 + _WIDE + _GAP, _TOP + _WIDE + 20,
        f"{plural(count, 'byte')} of {PAGE_SIZE} {'is' if count == 1 else 'are'} wrong", "bad",
    )  # fmt: skip
    return picture.markup()


def _draw_page(
    picture: Picture, x: float, label: str, words: str, wrong: NDArray[np.bool_], kind: str
) -> None:
    picture.text(x, 16, label, f"{kind} strong")
    picture.text(x, 34, words, "", room=_WIDE)
    picture.rect(x - 1, _TOP - 1, _WIDE + 2, _WIDE + 2, "box")
    for row, line in enumerate(wrong.reshape(_SIDE, _SIDE)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
        for begin, end in edges.reshape(-1, 2).tolist():
            first, last = row * _SIDE + begin, row * _SIDE + end - 1
            tip = f"byte {first:#x}" if first == last else f"bytes {first:#x} to {last:#x}"
            width = (end - begin) * _CELL
            picture.rect(x + begin * _CELL, _TOP + row * _CELL, width, _CELL, "bad", tip=tip)
