"""The map of all physical memory: a small picture of any number of frames, and its legend."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE, Pfn, format_bytes
from frame_harness.frame_metadata.frame_states import FrameRuns
from frame_harness.pictures.palette import N_STATES, look_of
from frame_harness.pictures.svg import Picture

COLUMNS, ROWS = 64, 24
_CELL, _LEFT, _TOP, _ROW = 11.0, 112.0, 26.0, 13.0
_CELLS_OF_A_SIGN = 3
_NAMED = 4


class _Cells(Picture):
    """A picture with many shapes of one class."""

    def path(self, steps: str, kind: str) -> None:
        """Draw one shape that may have many parts."""
        ElementTree.SubElement(self._root, "path", {"d": steps, "class": kind})


def svg(runs: FrameRuns, marked: Iterable[int] = (), *, title: str) -> str:
    """Draw the overview: each cell stands for as many frames as the line above it says.

    Args:
        marked: pfns of the finding; their cells get a ring.
    """
    per_cell = frames_per_cell(runs.n_frames)
    cells = cell_states(runs, per_cell)
    rows = -(-len(cells) // COLUMNS)
    pfns = sorted({pfn for pfn in marked if 0 <= pfn < runs.n_frames})
    words = f"{format_bytes(runs.n_frames * PAGE_SIZE)}, {runs.n_frames:,} frames"
    picture = _Cells(
        _LEFT + COLUMNS * _CELL + 8, _TOP + rows * _ROW + 8, title=title,
        description=f"{words}; " + "; ".join(f"{name}: {frames}" for name, frames in totals(runs)),
    )  # fmt: skip
    picture.text(8, 16, f"{words}; a cell is {plural(per_cell, 'frame')}", "faint")
    _draw_rows(picture, cells, per_cell)
    _draw_signs(picture, cells)
    for cell in sorted({pfn // per_cell for pfn in pfns}):
        x, y = _LEFT + cell % COLUMNS * _CELL, _TOP + cell // COLUMNS * _ROW
        tip = _names([pfn for pfn in pfns if pfn // per_cell == cell], runs)
        picture.rect(x - 3, y - 3, _CELL + 5, _ROW + 5, "ring-back")
        picture.rect(x - 3, y - 3, _CELL + 5, _ROW + 5, "ring", tip=tip)
    return picture.markup()


def _names(pfns: Sequence[int], runs: FrameRuns) -> str:
    """The first frames of a cell that are of the finding, each with its state; how many more there are."""
    names: dict[str, list[str]] = {}
    for pfn in pfns[:_NAMED]:
        names.setdefault(look_of(runs.at(Pfn(pfn))).name, []).append(f"{pfn:#x}")
    told = [f"frame {', '.join(some)}: {name}" for name, some in names.items()]
    return "; ".join([*told, *([f"{len(pfns) - _NAMED} more"] if len(pfns) > _NAMED else [])])


def _draw_rows(picture: _Cells, cells: NDArray[np.uint8], per_cell: int) -> None:
    shapes: dict[int, list[str]] = {}
    for row in range(-(-len(cells) // COLUMNS)):
        line, y = cells[row * COLUMNS : (row + 1) * COLUMNS], _TOP + row * _ROW
        picture.text(_LEFT - 8, y + 10, f"{row * COLUMNS * per_cell * PAGE_SIZE:#x}", "faint", anchor="end")
        edges = [0, *(np.flatnonzero(line[1:] != line[:-1]) + 1).tolist(), len(line)]
        for begin, end in itertools.pairwise(edges):
            state = int(line[begin])
            x, width = _LEFT + begin * _CELL, (end - begin) * _CELL - 1
            shapes.setdefault(state, []).append(f"M{x:g} {y:g}h{width:g}v{_ROW - 2:g}h{-width:g}z")
    for state, parts in shapes.items():
        picture.path("".join(parts), f"state-{state}")


def _draw_signs(picture: _Cells, cells: NDArray[np.uint8]) -> None:
    for row in range(-(-len(cells) // COLUMNS)):
        line, y = cells[row * COLUMNS : (row + 1) * COLUMNS], _TOP + row * _ROW
        edges = [0, *(np.flatnonzero(line[1:] != line[:-1]) + 1).tolist(), len(line)]
        for begin, end in itertools.pairwise(edges):
            sign = look_of(int(line[begin])).sign
            if end - begin >= _CELLS_OF_A_SIGN and sign:
                picture.text(_LEFT + begin * _CELL + 3, y + 9.5, sign, "sign")


def frames_per_cell(n_frames: int) -> int:
    """A power of two, so that a cell is a block."""
    per_cell = 1
    while n_frames > per_cell * COLUMNS * ROWS:
        per_cell *= 2
    return per_cell


def cell_states(runs: FrameRuns, per_cell: int) -> NDArray[np.uint8]:
    """One state for each cell: of its frames the one with the highest rank, so that no fault is lost."""
    ranks = np.zeros(N_STATES, dtype=np.int64)
    for state in np.unique(runs.states).tolist():
        ranks[state] = look_of(state).rank * N_STATES + state
    values = ranks[runs.states]
    n_cells = -(-runs.n_frames // per_cell)
    first, last = runs.starts // per_cell, (runs.starts + runs.lengths - 1) // per_cell
    best = np.zeros(n_cells, dtype=np.int64)
    np.maximum.at(best, first, values)
    np.maximum.at(best, last, values)
    # Cells between the first and the last one of a run hold nothing else.
    inner = np.maximum(last - first - 1, 0)
    long = np.flatnonzero(inner)
    for at in long.tolist():
        best[first[at] + 1 : last[at]] = values[at]
    return (best % N_STATES).astype(np.uint8)


def totals(runs: FrameRuns) -> Sequence[tuple[str, int]]:
    """Name and frames of each state that occurs."""
    return [(look_of(state).name, frames) for state, frames in runs.counts().items()]
