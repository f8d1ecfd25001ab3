"""How each state of a frame looks: name, sign, colors in light and dark, hatching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import FrameState, words_of

Hatch = str
"""`plain`, `up`, `down`, `dots`, `cross`, `bars` or `check`: so that colors alone tell nothing apart."""


@dataclass(frozen=True)
class StateLook:
    """One state; `rank` says which state is shown where one cell stands for many frames: the highest."""

    state: int
    name: str
    sign: str
    light: str
    dark: str
    hatch: Hatch
    rank: int


def _look(state: int, sign: str, light: str, dark: str, hatch: Hatch, rank: int) -> StateLook:
    return StateLook(state, words_of(state), sign, light, dark, hatch, rank)


_OF_STATE = (
    _look(FrameState.HOLE, "", "#f6f7f9", "#0d1117", "plain", 0),
    _look(FrameState.ARRAY, "A", "#b39ddb", "#6f5aa8", "bars", 3),
    _look(FrameState.IMAGE, "I", "#9aa7b5", "#56626f", "bars", 3),
    _look(FrameState.BOOT, "b", "#b9c2cc", "#454f5a", "dots", 3),
    _look(FrameState.RESERVED, "R", "#d3d8de", "#343c46", "dots", 2),
    _look(FrameState.CACHED, "C", "#e3d26f", "#8a7a1f", "dots", 5),
    _look(FrameState.KERNEL, "K", "#3f7fd6", "#3f7fd6", "up", 6),
    _look(FrameState.USER, "U", "#d07bbf", "#b0569e", "down", 6),
    _look(FrameState.BLOCK, "B", "#86a9dc", "#2c5693", "up", 6),
    _look(FrameState.QUARANTINED, "Q", "#e8933a", "#c8741c", "cross", 8),
    _look(FrameState.POISONED, "P", "#d64a3a", "#e0533f", "cross", 9),
    _look(FrameState.NOBODY, "?", "#f2b8b0", "#7a3a34", "check", 7),
    _look(FrameState.IDLE, "i", "#e6eaef", "#222a33", "plain", 1),
    _look(FrameState.CONFLICT, "!", "#c4001a", "#ff5d66", "check", 10),
)
# Light green for single frames to dark green for the largest blocks.
_FREE_LIGHT = ("#d3efd8", "#2b7a4b")
_FREE_DARK = ("#7fd39a", "#16432a")


def _between(first: str, last: str, share: float) -> str:
    parts = [(int(first[at : at + 2], 16), int(last[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in parts)


def _free(order: int) -> StateLook:
    share = order / C.max_order
    light, dark = _between(*_FREE_LIGHT, share), _between(*_FREE_DARK, share)
    return _look(FrameState.FREE + order, str(order), light, dark, "plain", 4)


LOOKS: Final = (*_OF_STATE, *(_free(order) for order in range(C.max_order + 1)))
_BY_STATE = {look.state: look for look in LOOKS}
N_STATES: Final = max(_BY_STATE) + 1


def look_of(state: int) -> StateLook:
    """How a state looks, by its number."""
    return _BY_STATE[state]


def style(theme: str) -> str:
    """CSS variables `--state-N`, of the theme `light` or `dark`."""
    return " ".join(f"--state-{look.state}: {getattr(look, theme)};" for look in LOOKS)


CLASSES: Final = "\n".join(
    f".picture .state-{look.state} {{ fill: var(--state-{look.state}); }}" for look in LOOKS
)
"""CSS classes of shapes in a state's color."""
