"""One moment of memory as far as pictures need it: small, whatever the size of the guest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.tables import copy_of
from frame_harness.base.units import PAGE_SHIFT, Paddr, Pfn, paddr_to_pfn
from frame_harness.frame_metadata.frame_states import FrameRuns, frame_states
from frame_harness.frame_metadata.memory_state import N_MIGRATETYPES, MemoryState, Zone

WHOLE_TABLE = 1 << 16
"""Slots of a guest that are all kept; of a larger one those near the marked frames."""
_NEAR = 512
_BLOCKS_WALKED = 1 << 18


@dataclass(frozen=True, eq=False)
class SlotWindow:
    """The slots of frames that follow each other; `slots` has shape (k,) and the dtype of the table."""

    first: Pfn
    slots: NDArray[Any]

    def slot(self, pfn: Pfn) -> dict[str, int] | None:
        """The fields of a frame's slot; None outside of the window."""
        if not self.first <= pfn < self.first + len(self.slots):
            return None
        return fields_of(self.slots[pfn - self.first])


@dataclass(frozen=True, eq=False)
class ZoneLists:
    """The free lists of one zone.

    Args:
        blocks: shape (2, orders), blocks by migratetype and order.
        faults: what is wrong with a list's links, in words.
    """

    name: str
    blocks: NDArray[np.int64]
    faults: tuple[str, ...] = ()

    @property
    def free_frames(self) -> NDArray[np.int64]:
        """Frames on the lists of each order, of both migratetypes."""
        total: NDArray[np.int64] = self.blocks.sum(axis=0) << np.arange(self.blocks.shape[1])
        return total


@dataclass(frozen=True, eq=False)
class Moment:
    """The state of every frame, some slots, the free lists.

    Args:
        lists: empty where walking them would take too long.
    """

    runs: FrameRuns
    windows: tuple[SlotWindow, ...]
    lists: tuple[ZoneLists, ...]

    def slot(self, pfn: Pfn) -> dict[str, int] | None:
        """The fields of a frame's slot, where it is known."""
        found = (window.slot(pfn) for window in self.windows)
        return next((slot for slot in found if slot is not None), None)


def fields_of(slot: Any) -> dict[str, int]:
    """The fields of one slot as numbers, named as in the contract; reserved bytes as one number."""
    names = slot.dtype.names or ()
    return {name.lstrip("_"): int.from_bytes(np.asarray(slot[name]).tobytes(), "little") for name in names}


def moment_of(
    state: MemoryState,
    marked: Iterable[int] = (),
    *,
    near: int = _NEAR,
    whole_table: int = WHOLE_TABLE,
) -> Moment:
    """Take from a state what pictures need of it.

    Args:
        marked: pfns whose slots are wanted, with those of `near` frames on either side.
        whole_table: where memory has no more frames, all slots are taken.
    """
    lists = tuple(_lists(state))
    windows = tuple(_windows(state, marked, near, whole_table))
    return Moment(frame_states(state), windows, lists)


def _windows(state: MemoryState, marked: Iterable[int], near: int, whole: int) -> Iterator[SlotWindow]:
    n_frames = state.n_frames
    if n_frames <= whole:
        yield SlotWindow(Pfn(0), copy_of(state.slots))
        return
    ends: list[list[int]] = []
    for pfn in sorted({pfn for pfn in marked if 0 <= pfn < n_frames}):
        first, end = max(0, pfn - near), min(n_frames, pfn + near)
        if ends and first <= ends[-1][1]:
            ends[-1][1] = end
        else:
            ends.append([first, end])
    yield from (SlotWindow(Pfn(first), state.slots[first:end].copy()) for first, end in ends)


def _lists(state: MemoryState) -> Iterator[ZoneLists]:
    room = _BLOCKS_WALKED
    found = []
    for zone in state.zones:
        counted = _walked(state, zone, room)
        if counted is None:
            return
        room -= int(counted.blocks.sum())
        found.append(counted)
    yield from found


def _walked(state: MemoryState, zone: Zone, room: int) -> ZoneLists | None:
    """Follow the next links of each list; None when there are more blocks than `room`."""
    none, orders = state.constants.link_none, state.constants.max_order + 1
    blocks = np.zeros((N_MIGRATETYPES, orders), dtype=np.int64)
    faults: list[str] = []
    links = state.slots["next"]
    for kind in range(N_MIGRATETYPES):
        for order in range(orders):
            link, seen = int(zone.heads[kind, order]), set[Pfn]()
            while link != none:
                pfn = paddr_to_pfn(Paddr(link))
                if fault := _fault_of(link, pfn, seen, state.n_frames):
                    faults.append(f"{('unmovable', 'movable')[kind]} order {order}: {fault}")
                    break
                seen.add(pfn)
                if len(seen) > room:
                    return None
                link = int(links[pfn])
            blocks[kind, order] = len(seen)
    return ZoneLists(zone.name, blocks, tuple(faults))


def _fault_of(link: int, pfn: Pfn, seen: set[Pfn], n_frames: int) -> str:
    if link % (1 << PAGE_SHIFT) or pfn >= n_frames:
        return f"a link leads to {link:#x}, which is no frame"
    return f"the links lead back to frame {pfn:#x}" if pfn in seen else ""
