"""The slot table as a dictionary."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model.outcome import Panicked, PanicKind

U32: Final = 2**32
U64: Final = 2**64


class Slot(NamedTuple):
    """One frame's metadata; the reserved bytes are always zero. The defaults are those of a new slot."""

    next: int = C.link_none
    prev: int = C.link_none
    vtable: int = 0
    flags: int = 0
    order: int = 0
    refcount: int = 0
    generation: int = 0
    guard: int = 0
    meta_aux: int = 0

    @property
    def says_free(self) -> bool:
        return bool(self.flags & C.flag_free)

    @property
    def is_poisoned(self) -> bool:
        """By the guard alone."""
        return bool(self.guard & C.guard_poisoned)


NEW_SLOT: Final = Slot()


class SlotTable:
    """Every frame's slot by pfn; slots nobody wrote to are new.

    `touched` collects the pfns that were written to; its reader empties it.
    """

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames
        self.touched: set[int] = set()
        self._slots: dict[int, Slot] = {}

    def __getitem__(self, pfn: int) -> Slot:
        if not 0 <= pfn < self.n_frames:
            raise Panicked(PanicKind.OUT_OF_BOUNDS)
        return self._slots.get(pfn, NEW_SLOT)

    def write(self, pfn: int, **fields: Any) -> None:
        """Replace fields of one slot."""
        self._slots[pfn] = self[pfn]._replace(**fields)
        self.touched.add(pfn)

    def replace(self, pfn: int, slot: Slot) -> None:
        """Replace one slot as a whole."""
        self._slots[pfn] = slot
        self.touched.add(pfn)

    def written(self) -> dict[int, Slot]:
        """All slots that were ever written to."""
        return dict(self._slots)

    def copied(self) -> SlotTable:
        copy = SlotTable(self.n_frames)
        copy._slots = dict(self._slots)
        copy.touched = set(self.touched)
        return copy
