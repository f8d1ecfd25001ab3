"""The life of a frame: its owner, count, generation, flags and guard after each command of a history."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.text import plural
from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import state_of_slot
from frame_harness.pictures.byte_map import meaning
from frame_harness.pictures.moment import fields_of
from frame_harness.pictures.palette import look_of
from frame_harness.pictures.svg import Picture

_LEFT, _STEP_LEAST, _STEP_MOST, _LANE, _TOP, _WIDE = 104.0, 92.0, 190.0, 34.0, 40.0, 860.0
_MOST_STEPS = 8


@dataclass(frozen=True, eq=False)
class DrawnLife:
    """The slots of some frames over a history.

    Args:
        slots: shape (steps + 1, k): before the first command, then after each; dtype of the slot table.
        commands: one for each step.
    """

    pfns: tuple[Pfn, ...]
    slots: NDArray[Any]
    commands: tuple[str, ...]

    def of(self, pfn: Pfn) -> list[dict[str, int]]:
        """The fields of one frame's slot after each step, the first before any."""
        column = self.pfns.index(pfn)
        return [fields_of(slot) for slot in self.slots[:, column]]


Lane = tuple[str, Callable[[dict[str, int]], str]]
_LANES: tuple[Lane, ...] = (
    ("refcount", lambda slot: meaning("refcount", slot["refcount"])),
    ("generation", lambda slot: str(slot["generation"])),
    ("flags", lambda slot: _names("flags", slot["flags"])),
    ("guard", lambda slot: _names("guard", slot["guard"])),
    ("order", lambda slot: str(slot["order"])),
    ("vtable", lambda slot: meaning("vtable", slot["vtable"])),
)


def _names(field: str, value: int) -> str:
    _, _, names = meaning(field, value).partition(" ")
    return names or ("none" if value == 0 else f"{value:#x}")


def svg(life: DrawnLife, pfn: Pfn, *, field: str = "", title: str) -> str:
    """Draw one frame's life; of a long history the steps at which its slot changes, the latest ones.

    Args:
        field: the lane of the finding; its last value is marked.
    """
    slots = life.of(pfn)
    steps = shown_steps(slots)
    lanes = [lane for lane in _LANES if lane[0] == field or len({lane[1](slot) for slot in slots}) > 1]
    wide = min(_STEP_MOST, max(_STEP_LEAST, (_WIDE - _LEFT) / len(steps)))
    picture = Picture(
        _LEFT + len(steps) * wide + 8, _TOP + (len(lanes) + 1) * _LANE + 8, title=title,
        description=f"over {plural(len(life.commands), 'command')}",
    )  # fmt: skip
    picture.text(8, 16, "command", "faint")
    for at, step in enumerate(steps):
        words = f"{step}  {life.commands[step - 1]}" if step else "before"
        picture.text(_LEFT + at * wide + 4, 16, words, "" if step else "faint", room=wide - 8)
        picture.line((_LEFT + at * wide, 24), (_LEFT + at * wide, picture.height - 6), "rule")
    picture.text(8, _TOP + 18, "owner", "faint")
    _draw_lane(picture, _TOP, [_owner(slots[step]) for step in steps], wide, owners=True)
    for number, (name, words_of) in enumerate(lanes, start=1):
        y = _TOP + number * _LANE
        picture.text(8, y + 18, name, "strong" if name == field else "faint")
        _draw_lane(picture, y, [(0, words_of(slots[step])) for step in steps], wide, wrong=name == field)
    return picture.markup()


def shown_steps(slots: Sequence[dict[str, int]]) -> list[int]:
    """The first and the last step, and those at which the slot changes; no more than fit."""
    changed = [at for at in range(1, len(slots)) if slots[at] != slots[at - 1]]
    chosen = sorted({0, *changed, len(slots) - 1})
    return chosen if len(chosen) <= _MOST_STEPS else [0, *chosen[1 - _MOST_STEPS :]]


def _owner(slot: dict[str, int]) -> tuple[int, str]:
    state = state_of_slot(
        flags=slot["flags"],
        guard=slot["guard"],
        refcount=slot["refcount"],
        order=min(slot["order"], C.max_order),
    )
    return state, look_of(state).name


def _draw_lane(
    picture: Picture,
    y: float,
    values: Sequence[tuple[int, str]],
    wide: float,
    *,
    owners: bool = False,
    wrong: bool = False,
) -> None:
    """Equal neighbors make one bar; the last value of the finding's own lane is framed."""
    edges = np.flatnonzero([1, *(one != other for one, other in itertools.pairwise(values)), 1])
    for begin, end in zip(edges.tolist(), edges[1:].tolist(), strict=False):
        state, words = values[begin]
        x, width = _LEFT + begin * wide, (end - begin) * wide - 3
        last = wrong and end == len(values)
        picture.rect(x, y + 2, width, _LANE - 8, f"state-{state}" if owners else "box", tip=words)
        if last:
            picture.rect(x, y + 2, width, _LANE - 8, "wrong")
        kind = "sign strong" if owners else "bad strong" if last else ""
        picture.text(x + 6, y + 19, words, kind, room=width - 10)
