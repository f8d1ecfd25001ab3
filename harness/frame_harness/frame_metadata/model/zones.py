"""One zone's free lists: push, unlink, split, coalesce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, frames_from, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import PAGEBLOCK_SHIFT, Migratetype
from frame_harness.frame_metadata.model.outcome import Panicked, PanicKind
from frame_harness.frame_metadata.model.slots import SlotTable, slot_of

NONE = C.link_none
MAX_ORDER = C.max_order
UNMOVABLE, MOVABLE = Migratetype.UNMOVABLE, Migratetype.MOVABLE
_OTHER = {UNMOVABLE: MOVABLE, MOVABLE: UNMOVABLE}


class ModelBlock(NamedTuple):
    """`2**order` frames from `pfn` on, which is a multiple of that."""

    pfn: Pfn
    order: int

    @property
    def frames(self) -> range:
        """The pfns of the block as plain numbers, end excluded."""
        return range(self.pfn, self.pfn + (1 << self.order))

    @property
    def pfns(self) -> Sequence[Pfn]:
        """Each of the frames, by its number."""
        return frames_from(self.pfn, 1 << self.order)

    @property
    def paddr(self) -> Paddr:
        """The physical address of the first byte."""
        return pfn_to_paddr(self.pfn)

    @property
    def buddy(self) -> ModelBlock:
        """The block of the same order that it merges with; nothing says that memory is there."""
        return ModelBlock(Pfn(self.pfn ^ (1 << self.order)), self.order)

    @property
    def parent(self) -> ModelBlock:
        """The block of the next order that holds this one and its buddy."""
        return block_containing(self.pfn, self.order + 1)


def block_containing(pfn: Pfn, order: int) -> ModelBlock:
    """The block of an order that a frame lies in; nothing checks the order or that memory is there."""
    return ModelBlock(Pfn(pfn >> order << order), order)


def block_at(paddr: Paddr, order: int) -> ModelBlock | None:
    """The block of that order that starts at an address, if one can."""
    if order > MAX_ORDER or paddr % (PAGE_SIZE << order):
        return None
    return ModelBlock(paddr_to_pfn(paddr), order)


@dataclass
class ZoneModel:
    """Frames `first_pfn` to `end_pfn`, with counters in frames."""

    name: str
    first_pfn: Pfn
    end_pfn: Pfn
    slots: SlotTable
    managed: int = 0
    free: int = 0
    cached: int = 0
    allocated: int = 0
    quarantined: int = 0
    reserved: int = 0
    heads: dict[tuple[int, int], int] = field(default_factory=dict)
    """By (migratetype, order) the head block's paddr, of lists that have one."""

    def __post_init__(self) -> None:
        self._is_dma = self.name.lower() == "dma"
        self._listed = [0, 0]
        """By migratetype a bit for each order whose list has a block."""
        for (kind, order), head in self.heads.items():
            self._listed[kind] |= (head != NONE) << order

    def home(self, pfn: Pfn) -> Migratetype:
        """The migratetype of a frame of this zone, which never changes."""
        if self._is_dma:
            return UNMOVABLE
        return MOVABLE if (pfn >> PAGEBLOCK_SHIFT) % 2 else UNMOVABLE

    # ---- stamps ------------------------------------------------------------------------------------------

    def stamp_free(self, block: ModelBlock, *, sentinel: bool = True) -> None:
        """Make every slot of a block that of a free frame (FREE-02, GUARD-04)."""
        movable = self.home(block.pfn) is MOVABLE
        flags = C.flag_free | (C.flag_movable if movable else 0)
        self.slots.touched.update(block.pfns)
        for pfn in block.pfns:
            slot = self.slots[pfn]
            refcount = C.refcount_unused if sentinel else slot.refcount
            guard = slot.guard & C.guard_poisoned
            self.slots[pfn] = slot_of(
                (NONE, NONE, 0, flags, block.order, refcount, slot.generation, guard, slot.meta_aux)
            )

    def stamp_order(self, block: ModelBlock) -> None:
        """Write the block's order into each of its slots, and nothing else."""
        self.slots.write_order(block.pfns, block.order)

    # ---- lists -------------------------------------------------------------------------------------------

    def head(self, block: ModelBlock) -> int:
        """The paddr of the first block on the list that a block belongs on, LINK_NONE where it is empty."""
        return self.heads.get((self.home(block.pfn), block.order), NONE)

    def _set_head(self, block: ModelBlock, link: int) -> None:
        kind = self.home(block.pfn)
        if link == NONE:
            self.heads.pop((kind, block.order), None)
            self._listed[kind] &= ~(1 << block.order)
        else:
            self.heads[kind, block.order] = link
            self._listed[kind] |= 1 << block.order

    def _listed_block(self, link: int, order: int) -> ModelBlock:
        """The block that a link of a list of that order leads to, which must be one."""
        block = block_at(Paddr(link), order)
        if block is not None and self.first_pfn <= block.pfn < self.end_pfn:
            slot = self.slots[block.pfn]
            if slot.says_free and slot.order == order:
                return block
        raise Panicked(PanicKind.CORRUPT_LIST)

    def push(self, block: ModelBlock) -> None:
        """Put a block at the front of its list."""
        self._push(block, self._first_on_list_of(block))

    def _push(self, block: ModelBlock, first: ModelBlock | None) -> None:
        """Put a block in front of the first one of its list."""
        if first is not None:
            self.slots.write_links(first.pfn, None, block.paddr)
        self.slots.write_links(block.pfn, NONE if first is None else first.paddr, NONE)
        self._set_head(block, block.paddr)
        self.free += len(block.frames)

    def _first_on_list_of(self, block: ModelBlock) -> ModelBlock | None:
        first = self.head(block)
        return None if first == NONE else self._listed_block(first, block.order)

    def _neighbors(self, block: ModelBlock) -> tuple[ModelBlock | None, ModelBlock | None]:
        """The blocks before and behind a listed one; they must lead back to it."""
        slot = self.slots[block.pfn]
        before = self._listed_block(slot.prev, block.order) if slot.prev != NONE else None
        after = self._listed_block(slot.next, block.order) if slot.next != NONE else None
        pointing_here = self.head(block) if before is None else self.slots[before.pfn].next
        answered = after is None or self.slots[after.pfn].prev == block.paddr
        if pointing_here != block.paddr or not answered:
            raise Panicked(PanicKind.CORRUPT_LIST)
        return before, after

    def unlink(self, block: ModelBlock) -> None:
        """Take a block off its list; nothing changes when the links around it disagree."""
        self._unlink(block, *self._neighbors(block))

    def _unlink(self, block: ModelBlock, before: ModelBlock | None, after: ModelBlock | None) -> None:
        """Take a block out from between its neighbors."""
        slot = self.slots[block.pfn]
        if after is not None:
            self.slots.write_links(after.pfn, None, slot.prev)
        if before is not None:
            self.slots.write_links(before.pfn, slot.next, None)
        else:
            self._set_head(block, slot.next)
        self.slots.write_links(block.pfn, NONE, NONE)
        self.free -= len(block.frames)

    def is_listed(self, block: ModelBlock) -> bool:
        """Whether exactly this block is on its list: it has a predecessor there or is the head."""
        if block.pfn < self.first_pfn or block.frames.stop > self.end_pfn:
            return False
        slot = self.slots[block.pfn]
        linked = slot.prev != NONE or self.head(block) == block.paddr
        return slot.says_free and slot.order == block.order and linked

    def block_covering(self, pfn: Pfn) -> ModelBlock | None:
        """The listed block that a frame lies in."""
        order = self.slots[pfn].order
        if order > MAX_ORDER:
            return None
        block = block_containing(pfn, order)
        return block if self.is_listed(block) else None

    def listed_frames(self) -> list[Pfn] | None:
        """Every frame on a list; None where a link leads to something else than a block of its list."""
        frames: list[Pfn] = []
        try:
            for (_, order), head in self.heads.items():
                link = head
                while link != NONE and len(frames) <= self.free:
                    block = self._listed_block(link, order)
                    self._neighbors(block)
                    frames += block.pfns
                    link = self.slots[block.pfn].next
        except Panicked:
            return None
        return frames if len(frames) == self.free else None

    def forget_lists(self) -> None:
        """Everything on them was handed out."""
        self.heads = {}
        self._listed = [0, 0]
        self.free = 0

    # ---- blocks ------------------------------------------------------------------------------------------

    def take(self, order: int, migratetype: Migratetype) -> ModelBlock | None:
        """The smallest block that suffices, from its own migratetype's lists, then the other's."""
        for kind in (migratetype, _OTHER[migratetype]):
            enough = self._listed[kind] >> order << order
            if enough:
                smallest = (enough & -enough).bit_length() - 1
                block = self._listed_block(self.heads[kind, smallest], smallest)
                return self._split(block, block.pfn, order, stamp_rest=True)
        return None

    def take_frame(self, pfn: Pfn) -> ModelBlock | None:
        """One frame out of the listed block that it lies in; its own slot keeps the order it has."""
        block = self.block_covering(pfn)
        if block is None:
            return None
        return self._split(block, pfn, 0, stamp_rest=False)

    def take_inside(self, block: ModelBlock) -> bool:
        """Take a block out of the listed block that it lies in; false when it lies in none."""
        covering = self.block_covering(block.pfn)
        if covering is None or covering.order < block.order:
            return False
        self._split(covering, block.pfn, block.order, stamp_rest=True)
        return True

    def _split(self, block: ModelBlock, pfn: Pfn, order: int, *, stamp_rest: bool) -> ModelBlock:
        """Take a block of an order around a frame out of a listed one; what is left goes onto its lists."""
        parts = [block_containing(pfn, smaller).buddy for smaller in reversed(range(order, block.order))]
        around = self._neighbors(block)
        firsts = [self._first_on_list_of(part) for part in parts]
        self._unlink(block, *around)
        # Each part is of another order: the lists are different ones.
        for part, first in zip(parts, firsts, strict=True):
            self.stamp_order(part)
            self._push(part, first)
        taken = block_containing(pfn, order)
        if stamp_rest and taken != block:
            self.stamp_order(taken)
        return taken

    def insert(self, block: ModelBlock) -> None:
        """Put a block on its list, coalesced with every free buddy that it meets (FREE-05)."""
        merged = self.coalesced(block)
        part = block
        while part != merged:
            self.unlink(part.buddy)
            part = part.parent
        if merged != block:
            self.stamp_order(merged)
        self.push(merged)

    def coalesced(self, block: ModelBlock) -> ModelBlock:
        """What becomes of a block that is inserted; every link that this follows must be whole."""
        if self.block_covering(block.pfn) is not None:
            raise Panicked(PanicKind.FREED_TWICE)
        merged = block
        while merged.order < MAX_ORDER and self.is_listed(merged.buddy):
            self._neighbors(merged.buddy)
            merged = merged.parent
        self._first_on_list_of(merged)
        return merged

    def note_returned(self, frames: int) -> None:
        """Frames came back; a frame freed twice comes back more often than it left."""
        self.allocated = max(self.allocated - frames, 0)
