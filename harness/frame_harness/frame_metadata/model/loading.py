"""Where a model begins: at a guest's boot or at any healthy state of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from frame_harness.base.units import Paddr, Pfn, frames_inside, frames_touched
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MemoryState, Migratetype, Zone
from frame_harness.frame_metadata.model.buddy import BuddyModel
from frame_harness.frame_metadata.model.frames import Model
from frame_harness.frame_metadata.model.hooks import Vtable
from frame_harness.frame_metadata.model.slots import ModelSlot, SlotTable
from frame_harness.frame_metadata.model.zones import ZoneModel

# The shim's zones end at 16 MiB, 896 MiB and the end of memory.
ZONES = (
    ("dma", Pfn(0), Pfn(1 << 12)),
    ("normal", Pfn(1 << 12), Pfn(7 << 15)),
    ("highmem", Pfn(7 << 15), Pfn(1 << 52)),
)


MEMORY_KINDS = ("ram", "kernel", "boot", "meta")


def frames_of_map(regions: Iterable[tuple[Paddr, Paddr, str]]) -> tuple[list[range], list[range]]:
    """What a guest's memory map says about frames: those that hold memory, those that the buddy is given.

    A frame counts as memory even when only a part of it is; the buddy is given whole frames of plain RAM.

    Args:
        regions: ascending (base, end, kind), addresses in bytes, `end` exclusive, kinds as `map` prints them.
    """
    ram: list[range] = []
    given: list[range] = []
    for base, end, kind in regions:
        if kind in MEMORY_KINDS:
            _extend(ram, range(*frames_touched(base, end)))
        if kind == "ram":
            _extend(given, range(*frames_inside(base, end)))
    return ram, given


def _extend(ranges: list[range], pfns: range) -> None:
    """Add a range behind all others; what touches or overlaps the last one extends it."""
    if pfns and ranges and pfns.start <= ranges[-1].stop:
        ranges[-1] = range(ranges[-1].start, max(ranges[-1].stop, pfns.stop))
    elif pfns:
        ranges.append(pfns)


def booted_model(
    n_frames: int,
    ram: list[range],
    given: list[range],
    *,
    zones: tuple[tuple[str, Pfn, Pfn], ...] = ZONES,
    vtables: Mapping[int, Vtable] | None = None,
    movable: bool = True,
) -> Model:
    """The state that a guest must be in after boot.

    Args:
        ram: ranges of pfns that hold memory, even a part of one frame.
        given: ascending ranges of frames that the buddy may own, no two touching.
        movable: the frame module knows MOVABLE frames.
    """
    slots = SlotTable(n_frames)
    models = []
    for name, first, end in zones:
        zone = ZoneModel(name, min(first, Pfn(n_frames)), min(end, Pfn(n_frames)), slots)
        zone.managed = _overlap(ram, zone)
        zone.reserved = zone.managed - _overlap(given, zone)
        models.append(zone)
    buddy = BuddyModel(slots, models, given)
    buddy.populate()
    slots.touched.clear()
    return Model(slots, buddy, vtables, movable=movable)


def _overlap(ranges: list[range], zone: ZoneModel) -> int:
    return sum(max(0, min(part.stop, zone.end_pfn) - max(part.start, zone.first_pfn)) for part in ranges)


def model_of(state: MemoryState, given: list[range], *, vtables: Mapping[int, Vtable] | None = None) -> Model:
    """A model that goes on from a guest's state, which should violate no invariant.

    Args:
        given: ascending ranges of frames that the buddy may own, no two touching.
    """
    slots = SlotTable(state.n_frames)
    columns = [state.slots[name] for name in ModelSlot._fields]
    defaults = ModelSlot._field_defaults
    written = np.zeros(state.n_frames, dtype=np.bool_)
    for name, column in zip(ModelSlot._fields, columns, strict=True):
        written |= column != defaults[name]
    pfns = np.flatnonzero(written)
    rows = zip(*(column[pfns].tolist() for column in columns), strict=True)
    for pfn, row in zip(map(Pfn, pfns.tolist()), rows, strict=True):
        slots.replace(pfn, ModelSlot(*row))
    slots.touched.clear()
    buddy = BuddyModel(slots, [_zone_model(zone, slots) for zone in state.zones], given)
    for pfn, migratetype, cpu in state.cached.tolist():
        buddy.caches[cpu, Migratetype(migratetype)].append(pfn)
    if state.quarantined is not None:
        buddy.quarantined.update(state.quarantined.tolist())
    return Model(slots, buddy, vtables)


def _zone_model(zone: Zone, slots: SlotTable) -> ZoneModel:
    heads = {
        (migratetype, order): head
        for migratetype, row in enumerate(zone.heads.tolist())
        for order, head in enumerate(row)
        if head != C.link_none
    }
    end_pfn = min(zone.end_pfn, Pfn(slots.n_frames))
    return ZoneModel(
        zone.name,
        zone.first_pfn,
        end_pfn,
        slots,
        managed=zone.managed,
        free=zone.free,
        cached=zone.cached,
        allocated=zone.allocated,
        quarantined=zone.quarantined,
        reserved=zone.reserved,
        heads=heads,
    )
