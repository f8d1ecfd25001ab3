"""What the model predicts, as arrays to compare with a guest's."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.tables import copy_of, differing_rows
from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MemoryState, PfnRanges, Zone, cached_frames
from frame_harness.frame_metadata.model.frames import Model
from frame_harness.frame_metadata.model.slots import ModelSlot
from frame_harness.frame_metadata.model.zones import MAX_ORDER

MAX_EXAMPLES = 5
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True)
class SlotDifference:
    """One field of one slot that is not as predicted."""

    pfn: Pfn
    field: str
    expected: int
    got: int
    row: bytes = b""
    """The bytes of the whole slot."""

    @property
    def text(self) -> str:
        """The difference as one line, its numbers in hexadecimal."""
        return f"slot: pfn {self.pfn:#x} {self.field}: expected {self.expected:#x}, got {self.got:#x}"


@dataclass(frozen=True)
class Differences:
    """How many slots are not as predicted, with fields of the first few."""

    total_slots: int
    examples: tuple[SlotDifference, ...]

    def __bool__(self) -> bool:
        return self.total_slots > 0

    @property
    def text(self) -> str:
        """The examples, one a line; empty where no slot differs."""
        return "\n".join(difference.text for difference in self.examples)


class ExpectedTable:
    """A slot table that follows a model, so that comparing all of a guest's slots is one operation.

    Args:
        dtype: the guest's; reserved bytes and padding are expected to be zero.
    """

    def __init__(self, model: Model, dtype: np.dtype[np.void]) -> None:
        self._model = model
        self.packed = packer(dtype)
        """The bytes of a slot as the guest holds them."""
        self.slots = np.zeros(model.slots.n_frames, dtype=dtype)
        for name, value in ModelSlot._field_defaults.items():
            self.slots[name] = value
        self._store(model.slots.written())
        model.slots.touched.clear()

    def copied(self, model: Model) -> ExpectedTable:
        """A table of its own that follows a copy of the model, which nothing was done to since."""
        twin = copy.copy(self)
        twin._model, twin.slots = model, copy_of(self.slots)
        return twin

    def _store(self, pfns: Collection[Pfn]) -> None:
        if pfns:
            of_model = self._model.slots
            raw = f"V{self.slots.dtype.itemsize}"
            packed = b"".join([self.packed(of_model[pfn]) for pfn in pfns])
            at = np.fromiter(pfns, dtype=np.int64, count=len(pfns))
            self.slots.view(raw)[at] = np.frombuffer(packed, raw)

    def follow(self) -> set[Pfn]:
        """Take over what the model's operations changed since; returns the pfns that they wrote to."""
        touched = set(self._model.slots.touched)
        self._store(touched)
        self._model.slots.touched.clear()
        return touched

    def compare(self, slots: NDArray[np.void]) -> Differences:
        """Hold every slot of a guest against the prediction, after following the model.

        Args:
            slots: shape (n_frames,).
        """
        pfns = self.differing(slots)
        examples: list[SlotDifference] = []
        for pfn in pfns[:MAX_EXAMPLES].tolist():
            examples += self._fields_of(pfn, slots)
        return Differences(len(pfns), tuple(examples[:MAX_EXAMPLES]))

    def differing(self, slots: NDArray[np.void]) -> NDArray[np.int64]:
        """The pfns of a guest's slots that are not as predicted, after following the model.

        Args:
            slots: shape (n_frames,).
        Returns:
            Shape (k,), ascending.
        """
        self.follow()
        return differing_rows(self.slots, slots)

    def _fields_of(self, pfn: Pfn, slots: NDArray[np.void]) -> list[SlotDifference]:
        differences = []
        for name in self.slots.dtype.names or ():
            expected, got = (as_number(table[name][pfn]) for table in (self.slots, slots))
            if expected != got:
                differences.append(SlotDifference(pfn, name, expected, got, slots[pfn].tobytes()))
        return differences


def as_number(value: object) -> int:
    """A field as a number; byte arrays little endian."""
    return int.from_bytes(np.asarray(value).tobytes(), "little")


def packer(dtype: np.dtype[np.void]) -> Callable[[ModelSlot], bytes]:
    """Makes the bytes of a guest's slot out of the model's; those of no field are zero."""
    offsets = {name: dtype.fields[name][1] for name in ModelSlot._fields} if dtype.fields else {}
    names = sorted(offsets, key=offsets.__getitem__)
    text, end = "<", 0
    for name in names:
        text += f"{offsets[name] - end}x{_CODES[dtype[name].itemsize]}"
        end = offsets[name] + dtype[name].itemsize
    pack = struct.Struct(f"{text}{dtype.itemsize - end}x").pack
    if names == list(ModelSlot._fields):
        return lambda slot: pack(*slot)
    return lambda slot: pack(*(getattr(slot, name) for name in names))


def expected_state(model: Model, table: ExpectedTable, ram: PfnRanges, off_limits: PfnRanges) -> MemoryState:
    """The model's own state for the invariants to judge."""
    table.follow()
    zones = []
    for zone in model.buddy.zones:
        heads = np.full((2, MAX_ORDER + 1), C.link_none, dtype=np.uint64)
        for (migratetype, order), head in zone.heads.items():
            heads[migratetype, order] = head
        counters = {
            name: getattr(zone, name)
            for name in ("managed", "free", "cached", "allocated", "quarantined", "reserved")
        }
        zones.append(Zone(zone.name, zone.first_pfn, zone.end_pfn, heads, **counters))
    return MemoryState(
        table.slots,
        tuple(zones),
        cached_frames(model.buddy.cached_frames()),
        ram,
        off_limits,
        poisoned_while_free=np.array(model.poisoned_while_free, dtype=np.int64),
        quarantined=np.array(sorted(model.buddy.quarantined), dtype=np.int64),
    )
