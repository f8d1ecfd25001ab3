"""One slot in words: its fields by name, its flags by name, where its links lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_kinds import Frames, FrameState, Purpose
from frame_harness.frame_metadata.slot_words import FLAGS, GUARDS, bits_in_words
from frame_harness.image.image import Image

_WIDTH = 12
_NUMBER_WIDTH = 20


def slot_lines(slots: NDArray[Any], pfn: int, frames: Frames, image: Image) -> Iterator[str]:
    """The frame with its state, then each field: its value, and what that means."""
    yield _line("frame", f"{pfn << PAGE_SHIFT:#x}", f"pfn {pfn:#x}: {state_words(frames, pfn)}")
    row = slots[pfn]
    for name in slots.dtype.names or ():
        value = row[name]
        if not isinstance(value, np.integer):
            data = np.asarray(value).tobytes()
            if any(data):
                yield _line(name.strip("_"), data.hex(), "")
            continue
        number, size = int(value), slots.dtype[name].itemsize
        yield _line(name, f"{number:#0{2 + 2 * size}x}", _meaning(name, number, frames, image))


def state_words(frames: Frames, pfn: int) -> str:
    """`live, order 0, kernel`."""
    state, order = FrameState(frames.states[pfn]), int(frames.orders[pfn])
    words = [state.name.lower()]
    if state >= FrameState.FREE:
        words.append(f"order {order}")
    if purpose := frames.purposes[pfn]:
        words.append(Purpose(purpose).name.lower())
    return ", ".join(words)


def _meaning(name: str, value: int, frames: Frames, image: Image) -> str:
    match name:
        case "next" | "prev":
            return _link(value, frames)
        case "vtable":
            return "none" if value == 0 else image.symbolize(value)
        case "flags":
            return bits_in_words(value, FLAGS)
        case "guard":
            return bits_in_words(value, GUARDS)
        case "order":
            return f"a block of {1 << value} frames" if value <= C.max_order else f"beyond {C.max_order}"
        case "refcount" if value == C.refcount_unused:
            return "unused: nobody's"
        case _:
            return str(value)


def _link(value: int, frames: Frames) -> str:
    if value == C.link_none:
        return "none"
    pfn = value >> PAGE_SHIFT
    if value % (1 << PAGE_SHIFT) or pfn >= len(frames.states):
        return "leads to no frame"
    return f"pfn {pfn:#x}: {state_words(frames, pfn)}"


def _line(name: str, value: str, meaning: str) -> str:
    return f"{name:<{_WIDTH}}{value:<{_NUMBER_WIDTH}}{meaning}".rstrip()
