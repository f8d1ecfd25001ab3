"""Boundary values of frames, addresses, blocks: the first, the last, those around each power of two."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.contract.boundaries import around
from frame_harness.frame_metadata.constants import C

PHYSICAL_BITS = 52
LAST_FRAME = Paddr((1 << PHYSICAL_BITS) - C.page_size)
ZONE_STARTS = tuple(paddr_to_pfn(Paddr(start)) for start in (0, 16 << 20, 896 << 20))
"""Pfns at which DMA, Normal and HighMem begin; each zone ends where the next begins."""
WIDE_RAM = 904 << 20
"""Bytes of RAM with a block of the largest order in each zone."""


def boundary_frames(frames: int) -> tuple[Pfn, ...]:
    """First and last frame of memory, of each zone, and those around each power of two."""
    edges = {edge + step for edge in (*ZONE_STARTS, frames) for step in (-2, -1, 0, 1)}
    return tuple(Pfn(pfn) for pfn in sorted({*edges, *around(PHYSICAL_BITS - 12)}) if 0 <= pfn < frames)


def addresses_inside(frames: int) -> tuple[Paddr, ...]:
    """The first and last byte of each boundary frame; of some, bytes around each power of two."""
    thorough = {0, ZONE_STARTS[1], frames - 1}
    found = set()
    for pfn in boundary_frames(frames):
        offsets = around(12) if pfn in thorough else (0, C.page_size - 1)
        found |= {pfn * C.page_size + offset for offset in offsets}
    return tuple(map(Paddr, sorted(found)))


def addresses_outside(frames: int) -> tuple[Paddr, ...]:
    """Where the table ends, then the frames around each power of two behind it.

    Cut to fewer bits, each of those around a power of two is the address of a frame that has a slot.
    """
    end = frames * C.page_size
    powers = [1 << bit for bit in range(PHYSICAL_BITS) if 1 << bit > end]
    near = {end, end + 1, end + C.page_size - 1, LAST_FRAME, LAST_FRAME + C.page_size - 1}
    return tuple(map(Paddr, sorted(near.union(*({p - 1, p, p + 1, p + C.page_size} for p in powers)))))


def powers_outside(frames: int) -> tuple[Paddr, ...]:
    """One address for each bit that is too high: for functions that only hand an address on."""
    end = frames * C.page_size
    higher = (bit + C.page_size for bit in (1 << k for k in range(PHYSICAL_BITS)) if bit > end)
    return tuple(map(Paddr, (end, *higher)))


def blocks(frames: int) -> Iterator[tuple[Pfn, int]]:
    """(first pfn, order): of each order the first and the last block of memory and of each zone."""
    ends = [*ZONE_STARTS[1:], frames]
    for order in range(C.max_order + 1):
        size = 1 << order
        starts = [-(-start // size) * size for start in ZONE_STARTS]
        lasts = [end // size * size - size for end in ends]
        found = sorted({*starts, *lasts})
        yield from ((Pfn(pfn), order) for pfn in found if pfn >= 0 and pfn + size <= frames)


def boundary_indexes(order: int, *, thorough: bool) -> tuple[int, ...]:
    """Frames of a block by their number: the first, the middle, the last; thorough, those around each 2^k."""
    size = 1 << order
    if thorough:
        return tuple(index for index in around(order + 1) if index < size)
    return tuple(sorted({0, size // 2, size - 1}))


def ranges() -> Iterator[tuple[int, int]]:
    """(first, last) frame addresses of ranges that do not reach the end of the address space."""
    for bit in range(13, PHYSICAL_BITS):
        edge = 1 << bit
        yield edge, edge
        yield edge - C.page_size, edge + C.page_size
        yield edge, edge - C.page_size  # none
        yield edge + C.page_size, C.page_size  # none, though not so in fewer bits
    for length in around(C.max_order + 2)[1:]:
        yield C.page_size, length * C.page_size
    yield 0, ((1 << 16) + 1) * C.page_size


def last_ranges() -> tuple[tuple[int, int], ...]:
    """Ranges that end at the last frame of the address space."""
    return tuple((LAST_FRAME - n * C.page_size, LAST_FRAME) for n in (0, 1, 2, 3, 255, 256, 257, 4095))


def pairs_of_frames() -> tuple[tuple[int, int], ...]:
    """Frames that are equal, then frames that differ in one bit alone, both ways round."""
    bits = [1 << bit for bit in range(12, PHYSICAL_BITS)]
    equal = [(frame, frame) for frame in (0, *bits, LAST_FRAME)]
    near = [
        pair for base in (0, LAST_FRAME) for bit in bits for pair in ((base, base ^ bit), (base ^ bit, base))
    ]
    return (*equal, *near)
