"""A guest's memory as a picture of characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from frame_harness.base.units import GIB, KIB, MIB, PAGE_SHIFT, PAGE_SIZE
from frame_harness.frame_metadata.frame_kinds import FrameState

COLUMNS: Final = 64
LINES: Final = 16
_MIXED: Final = "+"
_UNITS: Final = ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))


@dataclass(frozen=True)
class Look:
    """How a state is drawn."""

    sign: str
    style: str
    words: str


LOOKS: Final = {
    FrameState.HOLE: Look(".", "dim", "hole"),
    FrameState.RESERVED: Look("r", "dim", "reserved"),
    FrameState.IMAGE: Look("K", "blue", "kernel image"),
    FrameState.ARRAY: Look("S", "cyan", "slot table"),
    FrameState.FREE: Look("-", "green", "free"),
    FrameState.CACHED: Look("c", "bright_green", "free, cached"),
    FrameState.LIVE: Look("#", "yellow", "live"),
    FrameState.QUARANTINED: Look("Q", "magenta", "quarantined"),
    FrameState.POISONED: Look("P", "bold red", "poisoned"),
    FrameState.UNKNOWN: Look("?", "bold red", "unknown"),
}
# One such frame among a million others is what a reader looks for.
_SEEN_FIRST: Final = (FrameState.UNKNOWN, FrameState.POISONED, FrameState.QUARANTINED)
_OF_THE_BUDDY: Final = (FrameState.FREE, FrameState.CACHED, FrameState.LIVE)


def picture(states: NDArray[np.uint8], first: int, end: int) -> Iterator[Text]:
    """Lines that show the frames from `first` to before `end`, then what the signs mean.

    Each sign stands for as many frames as make the picture fit on a screen; lines that repeat the one above
    are told as one.
    """
    part = states[first:end]
    each = frames_of_a_sign(len(part))
    signs = _signs(part, each)
    yield Text(f"{_size(each)} a sign, {_size(each * COLUMNS)} a line; {_span(first, end)}", style="dim")
    rows = [signs[at : at + COLUMNS] for at in range(0, len(signs), COLUMNS)]
    yield from _lines(rows, first, each)
    yield from _legend(part, _MIXED in signs)


def frames_of_a_sign(frames: int) -> int:
    """The least power of two with which all frames fit."""
    cells = COLUMNS * LINES
    return 1 << max(0, -(-frames // cells) - 1).bit_length()


def _signs(states: NDArray[np.uint8], each: int) -> str:
    cells = [states[at : at + each] for at in range(0, len(states), each)]
    counts = np.array([np.bincount(cell, minlength=len(FrameState)) for cell in cells]).T
    chosen = np.argmax(counts, axis=0)
    signs = np.array([LOOKS[state].sign for state in FrameState])[chosen]
    kinds = sum((counts[state] > 0).astype(np.int64) for state in _OF_THE_BUDDY)
    live = counts[FrameState.LIVE] > 0
    signs[live & (kinds > 1)] = _MIXED
    for state in reversed(_SEEN_FIRST):
        signs[counts[state] > 0] = LOOKS[state].sign
    return "".join(signs.tolist())


def _lines(rows: Sequence[str], first: int, each: int) -> Iterator[Text]:
    styles = {look.sign: look.style for look in LOOKS.values()} | {_MIXED: "yellow"}
    repeats = 0
    for number, row in enumerate(rows):
        same = number > 0 and row == rows[number - 1]
        if same:
            repeats += 1
        if repeats and (not same or number == len(rows) - 1):
            yield Text(
                f"{'':>18}  the same on {repeats} more {'line' if repeats == 1 else 'lines'}", style="dim"
            )
            repeats = 0
        if not same:
            line = Text(f"{(first + number * COLUMNS * each) << PAGE_SHIFT:#018x}  ", style="dim")
            for sign in row:
                line.append(sign, style=styles[sign])
            yield line


def _legend(states: NDArray[np.uint8], mixed: bool) -> Iterator[Text]:
    counts = np.bincount(states, minlength=len(FrameState))
    for state in FrameState:
        if counts[state]:
            look = LOOKS[state]
            line = Text(f"  {look.sign} ", style=look.style)
            line.append(f"{look.words}: {_frames(int(counts[state]))}", style="")
            yield line
    if mixed:
        yield Text(f"  {_MIXED} live frames among free ones", style="yellow")


def _frames(count: int) -> str:
    return f"{count} {'frame' if count == 1 else 'frames'}, {_size(count)}"


def _size(frames: int) -> str:
    size = frames * PAGE_SIZE
    unit, words = next(((unit, words) for unit, words in _UNITS if size >= unit), _UNITS[-1])
    return f"{size / unit:.4g} {words}"


def _span(first: int, end: int) -> str:
    return f"frames {first:#x} to {end - 1:#x}"
