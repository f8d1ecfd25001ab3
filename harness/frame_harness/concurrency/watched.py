"""The memory whose accesses are told: the slot of one frame, and statics by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Vaddr, paddr_to_pfn
from frame_harness.contract.layout import StructLayout
from frame_harness.guest.booted import BootedGuest

_WORD: Final = 8


@dataclass(frozen=True)
class Piece:
    """The part of an access that lies in one field or static; in bytes from the slot's beginning."""

    field: str
    begin: int
    end: int

    def value(self, slot: NDArray[np.uint8]) -> int:
        """The little-endian number that these bytes of a slot hold, which is given as shape (slot_bytes,)."""
        return int.from_bytes(slot[self.begin : self.end].tobytes(), "little")


def pieces(slot: StructLayout, begin: int, end: int) -> Iterator[Piece]:
    """Take bytes of a slot apart into fields, at most a word each."""
    for field in slot.fields:
        yield from _words(field.name, field.offset, field.end, begin, end)


def _words(name: str, first: int, behind: int, begin: int, end: int) -> Iterator[Piece]:
    """The bytes from `begin` to `end` that lie between two others, word by word."""
    for word in range(first, behind, _WORD):
        one, other = max(begin, word), min(end, word + _WORD, behind)
        if one < other:
            yield Piece(name, one, other)


def touches_a_slot(kernel: BootedGuest, vaddr: Vaddr, n_bytes: int) -> bool:
    """Whether an access to so many bytes touches the slot of any frame."""
    witness = kernel.witness
    table = witness.hhdm_base + witness.meta_paddr
    return vaddr < table + witness.meta_bytes and vaddr + n_bytes > table


class Watched:
    """A slot and statics, live. Each byte has an offset: the slot's from 0 on, then those of each static."""

    def __init__(
        self, kernel: BootedGuest, frame: Paddr, statics: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Watch the slot of a frame, given by its physical address.

        Args:
            statics: which statics of the module, by their paths in it, are watched, too.
        """
        layout, pfn = kernel.image.subject.contract.slot, paddr_to_pfn(frame)
        table: NDArray[Any] = kernel.slots()
        slot = Vaddr(kernel.witness.hhdm_base + kernel.witness.meta_paddr + pfn * layout.size)
        self._layout = layout
        self._areas = [_Area("", slot, 0, table[pfn : pfn + 1].view(np.uint8))]
        end = layout.size
        for static in filter(lambda each: statics(each.name), kernel.image.subject_statics()):
            live = kernel.bytes_at(static.vaddr, static.size)
            self._areas.append(_Area(static.name, static.vaddr, end, live))
            end += static.size

    def span_of(self, vaddr: Vaddr, width: int) -> tuple[int, int] | None:
        """Where an access that touches any of it begins in it, and where it ends; None of another."""
        for area in self._areas:
            offset = vaddr - area.vaddr
            if -width < offset < len(area.live):
                return area.begin + max(offset, 0), area.begin + offset + width
        return None

    def is_touched(self, vaddr: Vaddr, n_bytes: int) -> bool:
        """Whether an access to so many bytes touches any of it."""
        return self.span_of(vaddr, n_bytes) is not None

    def is_of_slot(self, offset: int) -> bool:
        """Whether an access that begins there is one to the slot."""
        return offset < self._layout.size

    def field_at(self, offset: int) -> str:
        """The leaf name of the slot's field, or the name of the static, that a byte belongs to."""
        area = self._area(offset)
        return area.name or self._layout.field_at(offset)

    def pieces(self, begin: int, end: int) -> Iterator[Piece]:
        """Take bytes apart into fields and statics, at most a word each."""
        area = self._area(begin)
        if area.name:
            yield from _words(area.name, area.begin, area.end, begin, end)
        else:
            yield from pieces(self._layout, begin, min(end, area.end))

    def value(self, piece: Piece) -> int:
        """The little-endian number that is there now."""
        return int.from_bytes(self.live(piece.begin, piece.end - piece.begin).tobytes(), "little")

    def live(self, offset: int, width: int) -> NDArray[np.uint8]:
        """Bytes of one field or static; a view, shape (width,)."""
        area = self._area(offset)
        return area.live[offset - area.begin : offset - area.begin + width]

    def _area(self, offset: int) -> _Area:
        return next(area for area in reversed(self._areas) if offset >= area.begin)


@dataclass(frozen=True, eq=False)
class _Area:
    """Bytes that lie together: the slot, whose name is empty, or a static."""

    name: str
    vaddr: Vaddr
    begin: int
    live: NDArray[np.uint8]

    @property
    def end(self) -> int:
        return self.begin + len(self.live)
