"""A guest's memory as a picture of characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from frame_harness.base.units import GIB, KIB, MIB, PAGE_SIZE, Pfn, pfn_to_paddr
from frame_harness.frame_metadata.frame_states import WORDS, FrameState
from frame_harness.pictures.palette import look_of

COLUMNS: Final = 64
LINES: Final = 16
_MIXED: Final = "+"
_UNITS: Final = ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))


@dataclass(frozen=True)
class ConsoleLook:
    """How a state is drawn."""

    sign: str
    style: str


_STYLES: Final = {
    FrameState.HOLE: "dim",
    FrameState.ARRAY: "cyan",
    FrameState.IMAGE: "blue",
    FrameState.BOOT: "dim",
    FrameState.RESERVED: "dim",
    FrameState.CACHED: "bright_green",
    FrameState.KERNEL: "yellow",
    FrameState.USER: "bright_yellow",
    FrameState.BLOCK: "yellow",
    FrameState.QUARANTINED: "magenta",
    FrameState.POISONED: "bold red",
    FrameState.NOBODY: "bold red",
    FrameState.CONFLICT: "bold red",
    FrameState.IDLE: "dim",
    FrameState.FREE: "green",
}
_OWN_SIGNS: Final = {FrameState.HOLE: ".", FrameState.FREE: "-"}
LOOKS: Final = {
    state: ConsoleLook(_OWN_SIGNS.get(state) or look_of(state).sign, style)
    for state, style in _STYLES.items()
}
"""The signs are those of pictures, but for holes and free blocks: here one sign stands for every order."""
# One such frame among a million others is what a reader looks for.
_SEEN_FIRST: Final = (
    FrameState.CONFLICT, FrameState.POISONED, FrameState.QUARANTINED, FrameState.NOBODY,
)  # fmt: skip
_FREE: Final = [FrameState.FREE, FrameState.CACHED]
_LIVE: Final = [FrameState.KERNEL, FrameState.USER, FrameState.BLOCK]
_N_KINDS: Final = FrameState.FREE + 1
_SIGNS: Final = np.array([LOOKS[FrameState(at)].sign if at in _STYLES else "" for at in range(_N_KINDS)])


def picture(states: NDArray[np.uint8], first: int, end: int) -> Iterator[Text]:
    """Lines that show the frames from `first` to before `end`, then what the signs mean.

    Each sign stands for as many frames as make the picture fit on a screen; lines that repeat the one above
    are told as one.

    Args:
        states: a number of `FrameRuns` for each frame of the table.
    """
    part = np.minimum(states[first:end], FrameState.FREE)
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
    counts = np.array([np.bincount(cell, minlength=_N_KINDS) for cell in cells]).T
    signs = _SIGNS[np.argmax(counts, axis=0)]
    signs[counts[_LIVE].any(axis=0) & counts[_FREE].any(axis=0)] = _MIXED
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
            line = Text(f"{pfn_to_paddr(Pfn(first + number * COLUMNS * each)):#018x}  ", style="dim")
            for sign in row:
                line.append(sign, style=styles[sign])
            yield line


def _legend(states: NDArray[np.uint8], mixed: bool) -> Iterator[Text]:
    counts = np.bincount(states, minlength=_N_KINDS)
    for state in FrameState:
        if counts[state]:
            look = LOOKS[state]
            line = Text(f"  {look.sign} ", style=look.style)
            line.append(f"{WORDS[state]}: {_frames(int(counts[state]))}", style="")
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
