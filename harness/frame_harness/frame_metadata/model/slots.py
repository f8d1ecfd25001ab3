"""The slot table as a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple, cast

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model.outcome import Panicked, PanicKind

U32: Final = 2**32
U64: Final = 2**64


class ModelSlot(NamedTuple):
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
        """Whether the flag FREE is set, whatever the other fields say."""
        return bool(self.flags & C.flag_free)

    @property
    def is_poisoned(self) -> bool:
        """By the guard alone."""
        return bool(self.guard & C.guard_poisoned)


NEW_SLOT: Final = ModelSlot()


_INDEX: Final = {name: index for index, name in enumerate(ModelSlot._fields)}
_FLAGS: Final = _INDEX["flags"]
_ORDER: Final = _INDEX["order"]
# `ModelSlot` itself is a function of Python that does the same in twice the time.
slot_of: Final = cast(Callable[[Iterable[int]], ModelSlot], partial(tuple.__new__, ModelSlot))
"""A slot of the values of all its fields, in their order."""


class SlotTable(dict[Pfn, ModelSlot]):
    """Every frame's slot by pfn; those that nobody wrote to are new, and no items of the dictionary.

    A dictionary, since most of what a model does is to read slots. `touched` collects the pfns that were
    written to; its reader empties it.
    """

    def __init__(self, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.touched: set[Pfn] = set()

    def __missing__(self, pfn: Pfn) -> ModelSlot:
        if not 0 <= pfn < self.n_frames:
            raise Panicked(PanicKind.OUT_OF_BOUNDS)
        return NEW_SLOT

    def write(self, pfn: Pfn, **fields: int) -> None:
        """Replace fields of one slot."""
        values = list(self[pfn])
        for name, value in fields.items():
            values[_INDEX[name]] = value
        self[pfn] = slot_of(values)
        self.touched.add(pfn)

    def write_links(self, pfn: Pfn, after: int | None, before: int | None) -> None:
        """Replace the links of one slot; None leaves one as it is."""
        slot = self[pfn]
        after, before = slot[0] if after is None else after, slot[1] if before is None else before
        self[pfn] = slot_of((after, before, *slot[2:]))
        self.touched.add(pfn)

    def write_order(self, pfns: Sequence[Pfn], order: int) -> None:
        """Replace the order of some slots."""
        self.touched.update(pfns)
        for pfn in pfns:
            slot = self[pfn]
            if slot[_ORDER] != order:
                self[pfn] = slot_of((*slot[:_ORDER], order, *slot[_ORDER + 1 :]))

    def write_flags_and_order(self, pfns: Sequence[Pfn], flags: int, order: int) -> None:
        """Replace both fields of some slots."""
        self.touched.update(pfns)
        for pfn in pfns:
            slot = self[pfn]
            self[pfn] = slot_of((*slot[:_FLAGS], flags, order, *slot[_ORDER + 1 :]))

    def replace(self, pfn: Pfn, slot: ModelSlot) -> None:
        """Replace one slot as a whole."""
        self[pfn] = slot
        self.touched.add(pfn)

    def written(self) -> dict[Pfn, ModelSlot]:
        """All slots that were ever written to."""
        return dict(self)

    def copied(self) -> SlotTable:
        """An independent table with equal slots and `touched`."""
        twin = SlotTable(self.n_frames)
        twin.update(self)
        twin.touched = set(self.touched)
        return twin
