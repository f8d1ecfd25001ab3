"""One slot in words: its fields by name, its flags by name, where its links lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT, Paddr, Pfn, Vaddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import FrameState, States, state_of_slot, words_of
from frame_harness.frame_metadata.slot_words import FLAGS, GUARDS, bits_in_words
from frame_harness.image.image import Image

_WIDTH = 14
_NUMBER_WIDTH = 20
_LINKS = ("next", "prev")
_OF_A_BLOCK = (
    FrameState.CACHED, FrameState.KERNEL, FrameState.USER, FrameState.BLOCK, FrameState.QUARANTINED,
)  # fmt: skip


def slot_lines(slots: NDArray[Any], pfn: Pfn, states: States, image: Image) -> Iterator[str]:
    """The frame with its state, then each field: its value, and what that means.

    Args:
        slots: the table, shape (n_frames,).
        states: shape of `slots`.
    """
    row = slots[pfn]
    yield _line("frame", f"{pfn_to_paddr(pfn):#x}", f"pfn {pfn:#x}: {frame_words(row, int(states[pfn]))}")
    for name in slots.dtype.names or ():
        value = row[name]
        if not isinstance(value, np.integer):
            data = np.asarray(value).tobytes()
            if any(data):
                yield _line(name.strip("_"), data.hex(), "")
            continue
        number, size = int(value), slots.dtype[name].itemsize
        meaning = _link(number, slots, states) if name in _LINKS else _meaning(name, number, image)
        yield _line(name, f"{number:#0{2 + 2 * size}x}", meaning)


def frame_words(slot: Any, state: int) -> str:
    """`live, user, order 0`, `free, order 3`, `poisoned (live, kernel, order 0)`."""
    words = words_of(state)
    if state == FrameState.POISONED:
        return f"{words} ({frame_words(slot, _but_for_poison(slot))})"
    return f"{words}, order {slot['order']}" if state in _OF_A_BLOCK else words


def _but_for_poison(slot: Any) -> int:
    return state_of_slot(
        flags=int(slot["flags"]) & ~C.flag_poisoned,
        guard=0,
        refcount=int(slot["refcount"]),
        order=int(slot["order"]),
    )


def _meaning(name: str, value: int, image: Image) -> str:
    match name:
        case "vtable":
            return "none" if value == 0 else str(image.symbolize(Vaddr(value)))
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


def _link(value: int, slots: NDArray[Any], states: States) -> str:
    if value == C.link_none:
        return "none"
    pfn = paddr_to_pfn(Paddr(value))
    if value % (1 << PAGE_SHIFT) or pfn >= len(slots):
        return "leads to no frame"
    return f"pfn {pfn:#x}: {frame_words(slots[pfn], int(states[pfn]))}"


def _line(name: str, value: str, meaning: str) -> str:
    return f"{name:<{_WIDTH}}{value:<{_NUMBER_WIDTH}}{meaning}".rstrip()
