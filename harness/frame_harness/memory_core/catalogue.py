"""Memory maps to start a core on: shapes of real machines, and every way in which a map can be strange."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.memory_core.maps import Islands, MapRegion, MemoryMap, Protected, RegionKind, Span

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LOW_END, HIGH_START = 640 * KIB, MIB
"""Where memory below 1 MiB ends in a PC, and where it goes on."""
DMA_END, NORMAL_END = 16 * MIB, 896 * MIB
"""Where a core of this design puts the borders of its zones."""
MANY_PROTECTED = 16
"""So many modules a boot loader brings along; every version of a core of this design has room for more."""
SLOT_BYTES = 64
PCI_HOLE: Span = (Paddr(3 * GIB), Paddr(4 * GIB))


def free(first: int, end: int) -> MapRegion:
    """Usable memory from one address to another, the end exclusive."""
    return MapRegion(first, end - first)


def reserved(first: int, end: int) -> MapRegion:
    """Memory that nobody may use."""
    return MapRegion(first, end - first, RegionKind.RESERVED)


def catalogue(start: int, end: int) -> Iterator[MemoryMap]:
    """Maps of a machine whose RAM from `start` to `end` is free, with what is free below 640 KiB.

    Args:
        start: a multiple of 2 MiB above the kernel image, below 14 MiB.
        end: a multiple of 1 MiB.
    """
    yield from _machines(start, end)
    yield from _strange(start, end)
    yield from _protected(start, end)
    yield from _scarce(start, end)


def _machines(start: int, end: int) -> Iterator[MemoryMap]:
    """What firmware says of ordinary machines; the addresses are ours."""
    low = free(PAGE_SIZE, LOW_END - 4 * KIB)
    yield MemoryMap("one piece", (free(start, end),))
    yield MemoryMap(
        "a PC's map",
        (
            free(0, LOW_END - 4 * KIB), reserved(LOW_END - 4 * KIB, LOW_END), reserved(0xF0000, HIGH_START),
            free(start, end - 128 * KIB), reserved(end - 128 * KIB, end),
        ),
    )  # fmt: skip
    yield MemoryMap("low memory and high memory", (low, free(start, end)))
    yield MemoryMap("low memory alone", (free(PAGE_SIZE, LOW_END // 2),))
    yield MemoryMap("a free region at 0", (free(0, LOW_END // 2), free(start, end)))
    yield MemoryMap("starts and ends at odd frames", (free(start + PAGE_SIZE, end - 3 * PAGE_SIZE),))
    yield MemoryMap("starts and ends inside of frames", (free(start + 0x123, end - 0x777),))
    yield MemoryMap("regions that touch", (free(start, start + 5 * MIB), free(start + 5 * MIB, end)))
    yield MemoryMap(
        "free and reclaimable",
        (free(start, end - 4 * MIB), MapRegion(end - 4 * MIB, 4 * MIB, RegionKind.RECLAIM)),
    )
    yield MemoryMap(
        "ACPI islands",
        (
            free(start, end - 6 * MIB), reserved(end - 6 * MIB, end - 6 * MIB + 52 * KIB),
            free(end - 6 * MIB + 52 * KIB, end - 2 * MIB), reserved(end - 2 * MIB, end - 2 * MIB + 4 * KIB),
            free(end - 2 * MIB + 4 * KIB, end),
        ),
    )  # fmt: skip


def _strange(start: int, end: int) -> Iterator[MemoryMap]:
    """Regions that overlap, repeat, say nothing, or say what cannot be."""
    low = free(PAGE_SIZE, LOW_END - 4 * KIB)
    yield MemoryMap("reserved inside of free", (free(start, end), reserved(start + 8 * MIB, start + 9 * MIB)))
    yield MemoryMap(
        "reserved across borders of free, and around it",
        (
            reserved(start - MIB, start + MIB), free(start, end - 4 * MIB), reserved(start, start + 2 * MIB),
            reserved(end - 5 * MIB, end - MIB), free(end - 3 * MIB, end - 2 * MIB),
        ),
    )  # fmt: skip
    yield MemoryMap("free regions that overlap", (free(start, end - 8 * MIB), free(start + 8 * MIB, end)))
    yield MemoryMap("the same region twice", (free(start, end), free(start, end)))
    yield MemoryMap(
        "regions in descending order", (free(end - 16 * MIB, end), free(start, start + 16 * MIB), low)
    )
    inside = start + 9 * MIB + KIB  # of a frame
    yield MemoryMap(
        "zero length",
        (
            MapRegion(start + MIB, 0), free(start, end), reserved(end, end), reserved(inside, inside),
        ),
        (Protected(inside - MIB, 0),),
    )  # fmt: skip
    yield MemoryMap("wraps around", (free(start, end), MapRegion((1 << 64) - PAGE_SIZE, 2 * PAGE_SIZE)))
    yield MemoryMap(
        "reaches the last address",
        (free(start, end), reserved((1 << 64) - MIB, 1 << 64)),
        (Protected((1 << 64) - MIB, MIB),),
    )
    yield MemoryMap(
        "null regions",
        (MapRegion(0, 0, RegionKind.NULL), free(start, end), MapRegion(start, MIB, RegionKind.NULL)),
    )
    yield MemoryMap("nothing to use", (reserved(start, end),))
    yield MemoryMap("no region at all", ())


def _protected(start: int, end: int) -> Iterator[MemoryMap]:
    """What a kernel keeps for itself, and what it cannot reach while it boots; all of it is ours."""
    yield MemoryMap("protected ranges", (free(start, end),), (Protected(start + 8 * MIB, MIB),))
    yield MemoryMap(
        "protected inside of frames", (free(start, end),), (Protected(start + 8 * MIB + 0x800, PAGE_SIZE),)
    )
    yield MemoryMap(
        "protected across both ends, and around a region",
        (free(start, end - 4 * MIB), free(end - 2 * MIB, end - MIB)),
        (
            Protected(start - 64 * KIB, 128 * KIB), Protected(end - 5 * MIB, 2 * MIB),
            Protected(end - 3 * MIB, 3 * MIB),
        ),
    )  # fmt: skip
    yield MemoryMap(
        "protected at both ends", (free(start, end),), (Protected(start, 64 * KIB), Protected(end - MIB, MIB))
    )
    yield MemoryMap(
        "many protected ranges", (free(start, end),),
        tuple(Protected(start + 8 * MIB + at * 256 * KIB, 12 * KIB) for at in range(MANY_PROTECTED)),
    )  # fmt: skip
    yield MemoryMap("protected beyond the map", (free(start, end),), (Protected(end + GIB, MIB),))
    yield MemoryMap("boot reaches half of it", (free(start, end),), hhdm_end=(start + end) // 2 // MIB * MIB)
    slots = end // PAGE_SIZE * SLOT_BYTES
    yield MemoryMap(
        "boot reaches all slots but a page", (free(PAGE_SIZE, LOW_END - 4 * KIB), free(start, end)),
        hhdm_end=start + slots - PAGE_SIZE,
    )  # fmt: skip
    yield MemoryMap("boot reaches too little", (free(start, end),), hhdm_end=start + 64 * KIB)
    yield MemoryMap(
        "boot reaches the second region alone", (free(end - MIB, end), free(start, start + 8 * MIB)),
        hhdm_end=end - MIB,
    )  # fmt: skip


def _scarce(start: int, end: int) -> Iterator[MemoryMap]:
    """Little memory, in small pieces, or in one zone alone."""
    yield MemoryMap("across a zone border", (free(DMA_END - MIB, DMA_END + MIB),))
    yield MemoryMap("the first zone alone", (free(start, DMA_END),))
    yield MemoryMap("little of the second zone alone", (free(DMA_END, DMA_END + MIB),))
    yield MemoryMap("a frame in another zone", (free(start, DMA_END - MIB), free(end - PAGE_SIZE, end)))
    yield MemoryMap(
        "200 islands of a frame", (free(start, start + 2 * MIB), Islands(start + 4 * MIB, 200, 1))
    )
    yield MemoryMap("50 islands of 9 frames", (free(start, start + 2 * MIB), Islands(start + 4 * MIB, 50, 9)))
    yield MemoryMap("islands alone", (Islands(start, 40, 64),))
    yield MemoryMap(
        "reserved inside of free, behind 200 islands",
        (
            free(start, start + 16 * MIB), Islands(start + 20 * MIB, 200, 1),
            reserved(start + 8 * MIB, start + 9 * MIB),
        ),
    )  # fmt: skip
    yield MemoryMap("too little memory", (free(start, start + 16 * KIB),))
    yield MemoryMap(
        "600 islands of a frame", (free(start, start + 2 * MIB), Islands(start + 4 * MIB, 600, 1))
    )


def large_catalogue(start: int, end: int) -> Iterator[MemoryMap]:
    """Maps of a machine with more than 1 GiB: `end` is above the PCI hole where it has memory there."""
    low = free(PAGE_SIZE, LOW_END - 4 * KIB)  # all that the first zone has beside the slots
    yield MemoryMap("all three zones", (free(start, GIB),))
    yield MemoryMap("the last zone alone", (free(NORMAL_END + 4 * MIB, GIB),))
    yield MemoryMap(
        "across the last zone border",
        (low, free(start, start + 24 * MIB), free(NORMAL_END - MIB, NORMAL_END + MIB)),
    )
    yield MemoryMap(
        "little in each zone",
        (
            free(start, start + 24 * MIB),
            free(NORMAL_END + MIB, NORMAL_END + 3 * MIB),
            free(GIB - MIB, GIB),
        ),
    )
    if end > PCI_HOLE[1]:
        yield MemoryMap("on both sides of the PCI hole", (free(start, PCI_HOLE[0]), free(PCI_HOLE[1], end)))
        yield MemoryMap(
            "behind the PCI hole", (free(start, start + 512 * MIB), free(PCI_HOLE[1] + PAGE_SIZE, end - MIB))
        )


def work_catalogue(start: int, end: int) -> Iterator[MemoryMap]:
    """Maps on which work is counted, of which an eighth is still enough to start on."""
    yield MemoryMap("one piece of one zone", (free(DMA_END, end),))
    yield MemoryMap("a smaller piece", (free(DMA_END, DMA_END + (end - DMA_END) // 8),))
    yield MemoryMap("two zones", (free(start, DMA_END), free(DMA_END, end)))
    yield MemoryMap("64 islands of 300 frames", (free(start, DMA_END), Islands(DMA_END + 4 * MIB, 64, 300)))
    yield MemoryMap("256 islands of a frame", (free(start, DMA_END), Islands(DMA_END + 4 * MIB, 256, 1)))


def random_map(rng: random.Random, name: str, spans: Sequence[Span], protects: bool) -> MemoryMap:
    """A map of one to six regions inside of RAM, many of them small, aligned or not.

    Args:
        spans: RAM that is free.
    """
    regions: list[MapRegion] = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
        first, end = rng.choice(spans)
        unit = rng.choice((1, 16, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, 64 * KIB, MIB, 2 * MIB))
        base = rng.randrange(first, end) // unit * unit
        size = min(int(2 ** rng.uniform(12, 26)) // unit * unit or unit, end - base)
        kind = rng.choice(
            (RegionKind.FREE, RegionKind.FREE, RegionKind.FREE, RegionKind.RECLAIM, RegionKind.RESERVED)
        )
        if base >= first and size > 0:
            regions.append(MapRegion(base, size, kind))
    if rng.random() < 0.8:  # room for the core itself
        first, end = max(spans, key=lambda span: span[1] - span[0])
        base = rng.randrange(first, (first + end) // 2) // (2 * MIB) * 2 * MIB
        regions.insert(rng.randrange(len(regions) + 1), free(max(base, first), min(base + 8 * MIB, end)))
    protected = [
        Protected(rng.randrange(one.base, one.end), rng.choice((1, PAGE_SIZE, 64 * KIB)))
        for one in regions
        if protects and rng.random() < 0.15
    ]
    return MemoryMap(name, tuple(regions), tuple(protected))
