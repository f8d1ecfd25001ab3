"""Reads a guest's whole memory bookkeeping into the value that invariants judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT, Paddr, Pfn, frames_touched, paddr_to_pfn
from frame_harness.frame_guest.view import GuestView
from frame_harness.frame_metadata.memory_state import (
    MISSING_FIELDS,
    SLOT_FIELDS,
    Canary,
    MapRange,
    MemoryState,
    PfnRanges,
    Zone,
    cached_frames,
    pfn_ranges,
)
from frame_harness.guest.view import Region

ZONE_NAMES = ("DMA", "Normal", "HighMem")
COUNTERS = ("managed", "free", "cached", "allocated", "quarantined", "reserved")


def memory_state(
    kernel: GuestView,
    canary: Canary | None = None,
    quarantined: Sequence[Paddr] | None = None,
    regions: Sequence[Region] | None = None,
) -> MemoryState:
    """Everything that the invariants need; the slot table stays a live view of guest RAM.

    The guest must stand at its prompt. The memory map comes over the console, the rest from RAM.

    Args:
        regions: the map, where the caller asked for it and nothing that changes it has run since.
    """
    buddy, regions = kernel.buddy(), kernel.memory_map() if regions is None else regions
    zones = buddy["zones"][: int(buddy["n_zones"])]
    bare = without_buddy(kernel, regions)
    return replace(
        bare,
        zones=tuple(_zone(name, zone) for name, zone in zip(ZONE_NAMES, zones, strict=False)),
        cached=cached_frames(_cached(buddy["caches"])),
        canary=canary,
        quarantined=None if quarantined is None else _pfns(quarantined),
    )


def without_buddy(kernel: GuestView, regions: Sequence[Region]) -> MemoryState:
    """The same of a guest that has slots, and no allocator yet."""
    bare = MemoryState(
        slots=with_all_fields(kernel.slots()) if kernel.image.lacks else kernel.slots(),
        zones=(),
        cached=cached_frames([]),
        ram=pfn_ranges([]),
        off_limits=pfn_ranges([]),
    )
    return with_regions(bare, regions)


def memory_in_ram(kernel: GuestView, regions: Sequence[Region] = ()) -> MemoryState:
    """The same of any guest, dead or alive, asked nothing; without zones where no allocator is there yet.

    Args:
        regions: the map, which is not read in RAM.
    """
    if kernel.witness.buddy_vaddr:
        return memory_state(kernel, regions=regions)
    return without_buddy(kernel, regions)


def with_regions(state: MemoryState, regions: Sequence[Region]) -> MemoryState:
    """A state that was read without a map, with one."""
    return replace(
        state,
        ram=_ranges(regions, lambda kind: kind not in ("reserved", "acpi")),
        off_limits=_ranges(regions, lambda kind: kind != "ram"),
        map=tuple(MapRange(*_frames(region), region.kind) for region in regions),
    )


def _ranges(regions: Sequence[Region], counts: Callable[[str], bool]) -> PfnRanges:
    return pfn_ranges([_frames(region) for region in regions if counts(region.kind)])


def _pfns(paddrs: Sequence[Paddr]) -> NDArray[np.int64]:
    """The frames at some addresses, which the guest may have made up."""
    return (np.array(paddrs, dtype=np.uint64) >> np.uint64(PAGE_SHIFT)).astype(np.int64)


def with_all_fields(slots: NDArray[Any]) -> NDArray[Any]:
    """Add the fields that a version lacks, all zero; a copy where there are any, shape of `slots`."""
    names = slots.dtype.names or ()
    missing = [(name, MISSING_FIELDS[name]) for name in MISSING_FIELDS if name not in names]
    if not missing:
        return slots
    kept = [(name, slots.dtype[name]) for name in SLOT_FIELDS if name in names]
    whole = np.zeros(slots.shape, dtype=np.dtype([*kept, *missing]))
    for name, _ in kept:
        whole[name] = slots[name]
    return whole


def _zone(name: str, zone: Any) -> Zone:
    return Zone(
        name=name,
        first_pfn=Pfn(int(zone["first_pfn"])),
        end_pfn=Pfn(int(zone["end_pfn"])),
        heads=np.array(zone["heads"], dtype=np.uint64),
        **{counter: int(zone[counter]) for counter in COUNTERS},
    )


def _cached(caches: Any) -> list[tuple[Pfn, int, int]]:
    return [
        (paddr_to_pfn(paddr), migratetype, cpu)
        for cpu, of_cpu in enumerate(caches)
        for migratetype, cache in enumerate(of_cpu)
        for paddr in cache["frames"][: int(cache["len"])].tolist()
    ]


def _frames(region: Region) -> tuple[Pfn, Pfn]:
    """The frames that a region touches."""
    return frames_touched(region.base, region.end)
