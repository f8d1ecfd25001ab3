"""Follows free lists whose links lie in slots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image
from frame_harness.memory_core.state import KINDS, FreeBlock, ListFault

NO_LINK: Final = (0, (1 << 64) - 1)
"""What the last link of a list is."""
_SLOT_TYPES: Final = ("frame::MetaSlot", "frame::FrameMeta")

Head = tuple[int, int, int, Paddr]
"""Segment, kind, order, physical address of the first block."""


class HasFrames(Protocol):
    """A block, whoever has it."""

    @property
    def pfn(self) -> Pfn: ...
    @property
    def end(self) -> Pfn: ...


def walked(lists: Iterable[Head], slots: NDArray[Any]) -> tuple[list[FreeBlock], list[ListFault]]:
    """The blocks of the lists in RAM, and what is wrong with their links.

    Args:
        slots: the table, shape (n_frames,).
    """
    blocks: list[FreeBlock] = []
    faults: list[ListFault] = []
    following, before = slots["next"], slots["prev"]
    for segment, kind, order, head in lists:
        seen: set[Pfn] = set()
        at, previous = head, Pfn(0)
        while at not in NO_LINK:
            where = f"the list of free {KINDS[kind]} blocks of order {order}"
            pfn = paddr_to_pfn(at)
            if at % PAGE_SIZE or pfn >= len(slots):
                faults.append(
                    ListFault(f"{where} leads nowhere", "a frame of the table", f"{at:#x}", previous)
                )
                break
            if pfn in seen:
                faults.append(
                    ListFault(f"{where} runs in a circle", "each block once", f"{at:#x} again", pfn)
                )
                break
            back = int(before[pfn])
            if (0 if back in NO_LINK else back) != pfn_to_paddr(previous):
                expected = f"prev {pfn_to_paddr(previous):#x}" if previous else "no prev"
                faults.append(ListFault(f"{where} does not lead back", expected, f"prev {back:#x}", pfn))
                break
            seen.add(pfn)
            blocks.append(FreeBlock(pfn, order, kind, segment))
            at, previous = Paddr(int(following[pfn])), pfn
    return blocks, faults


def are_in(blocks: Iterable[HasFrames], pfns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which frames, shape (k,), lie in some blocks that do not overlap."""
    spans = np.array(sorted((one.pfn, one.end) for one in blocks), dtype=np.int64).reshape(-1, 2)
    at = np.searchsorted(spans[:, 0], pfns, side="right") - 1
    return (at >= 0) & (pfns < np.append(spans[:, 1], 0)[at])


def slot_type(image: Image) -> np.dtype[np.void]:
    """The structure of one slot, by today's name or by that of older versions.

    Raises:
        ImageError: there is none of these names.
    """
    for name in _SLOT_TYPES[:-1]:
        try:
            return image.dtype(name)
        except ImageError:
            continue  # that version has another name for it
    return image.dtype(_SLOT_TYPES[-1])
