"""One moment of a guest's frame metadata, as values that invariants judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.base.tables import copy_of
from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C, Constants

PfnRanges = NDArray[np.int64]
"""Shape (k, 2): half-open [first, end) ranges of pfns."""

SLOT_FIELDS = (
    "next",
    "prev",
    "vtable",
    "flags",
    "order",
    "refcount",
    "generation",
    "guard",
    "meta_aux",
)
"""What the contract names; all other bytes are reserved, whatever the subject calls them."""
MISSING_FIELDS = {"vtable": "<u8", "generation": "<u4", "guard": "<u4", "meta_aux": "<u4"}
"""Of a slot's fields those that older versions have not; none there, nothing registered, nothing poisoned."""

CACHED_FRAME = np.dtype([("pfn", "<u8"), ("migratetype", "u1"), ("cpu", "u1")])
"""One entry of a CPU's order-0 cache."""

N_MIGRATETYPES = 2
MAX_FRAMES = 2**31 - 2**12
"""8 TiB: a pfn, and the end of a block that starts at it, fit into 32 bits."""
PAGEBLOCK_SHIFT = 11
"""log2 of the frames of an 8 MiB block, within which every frame has one migratetype."""


class MemoryStateError(HarnessError):
    """What was handed over is no picture of a slot table; invariants could not even begin."""


class Migratetype(IntEnum):
    """The index of a free list; the value is the guest's."""

    UNMOVABLE = 0
    MOVABLE = 1

    # Equal to its number, so with the same hash; that of an enumeration is a function in Python.
    __hash__ = int.__hash__


@dataclass(frozen=True, eq=False)
class Zone:
    """One zone's free lists and counters (in frames) as the guest publishes them."""

    name: str
    first_pfn: Pfn
    end_pfn: Pfn
    heads: NDArray[np.uint64]
    """Shape (2, max_order + 1), by migratetype and order; the head block's paddr or `link_none`."""
    managed: int
    free: int
    cached: int
    allocated: int
    quarantined: int
    reserved: int

    @property
    def unmovable_only(self) -> bool:
        """Whether every 8 MiB block of the zone is unmovable, whatever its number."""
        return self.name.lower() == "dma"


@dataclass(frozen=True)
class MapRange:
    """Frames [first, end) of one kind of the guest's memory map, as its console names it."""

    first: Pfn
    end: Pfn
    kind: str


@dataclass(frozen=True, eq=False)
class Canary:
    """What the payload of free frames was filled with, against what it holds now."""

    pfns: NDArray[np.int64]
    """Shape (k,), frames that were free when they were filled."""
    expected: NDArray[np.uint64]
    """Shape of `pfns`; `digest_frames` of each frame's fill."""
    found: NDArray[np.uint64]
    """Shape of `pfns`; `digest_frames` of what each frame holds now."""


def no_pfns() -> NDArray[np.int64]:
    """The empty set of frames, shape (0,)."""
    return np.empty(0, dtype=np.int64)


def pfn_ranges(ranges: Sequence[tuple[int, int]]) -> PfnRanges:
    """Half-open pfn ranges as the array that `MemoryState` holds."""
    return np.array(ranges, dtype=np.int64).reshape(-1, 2)


def cached_frames(entries: Sequence[tuple[int, int, int]]) -> NDArray[np.void]:
    """Entries (pfn, migratetype, cpu) of all CPU caches as the array that `MemoryState` holds, shape (k,)."""
    return np.array(list(entries), dtype=CACHED_FRAME)


@dataclass(frozen=True, eq=False)
class MemoryState:
    """The slot table with what the host knows about the memory it describes.

    `slots` may be a live view of guest RAM: judge it while the guest stands still.
    """

    slots: NDArray[np.void]
    """Shape (n_frames,), row i describes pfn i; fields by name, whatever their order."""
    zones: tuple[Zone, ...]
    cached: NDArray[np.void]
    """Shape (k,), dtype `CACHED_FRAME`, every entry of every CPU cache."""
    ram: PfnRanges
    """Ranges of frames that are RAM; the rest of the table is holes."""
    off_limits: PfnRanges
    """Ranges of frames that the buddy must never own (slot table, kernel image, boot structures, reserved
    regions), inside or outside RAM.
    """
    constants: Constants = C
    poisoned_while_free: NDArray[np.int64] = field(default_factory=no_pfns)
    """Shape (k,), frames that the caller poisoned while they were free; their POISONED bits are its own
    doing.
    """
    quarantined: NDArray[np.int64] | None = None
    """Shape (k,), pfns in quarantine, where somebody knows them; None where nobody does."""
    canary: Canary | None = None
    """Fills of free frames, when the caller made any."""
    map: tuple[MapRange, ...] = ()
    """The guest's memory map with its kinds, for people; nothing is judged by it."""

    def __post_init__(self) -> None:
        names = self.slots.dtype.names or ()
        missing = [name for name in SLOT_FIELDS if name not in names]
        if self.slots.ndim != 1 or missing:
            raise MemoryStateError(
                "slot table",
                "fields",
                expected=f"one row per frame with all of {', '.join(SLOT_FIELDS)}",
                actual=f"shape {self.slots.shape} without {', '.join(missing) or 'none'}",
                next_step="compare the subject's MetaSlot with the contract's layout",
            )
        if self.n_frames > MAX_FRAMES:
            raise MemoryStateError(
                "slot table", "frames", expected=f"at most {MAX_FRAMES}", actual=self.n_frames
            )
        shape = (N_MIGRATETYPES, self.constants.max_order + 1)
        for zone in self.zones:
            if zone.heads.shape != shape:
                raise MemoryStateError(
                    f"zone {zone.name}",
                    "free-list heads",
                    expected=f"shape {shape}",
                    actual=f"shape {zone.heads.shape}",
                    next_step="compare BuddyState in the kernel's DWARF with the harness's expectation",
                )

    @property
    def n_frames(self) -> int:
        """The number of slots in the table, those of holes included."""
        return int(self.slots.shape[0])

    def copied(self) -> MemoryState:
        """The same moment with a private slot table, to keep while the guest runs on."""
        return replace(self, slots=copy_of(self.slots))


def mask_of_ranges(ranges: PfnRanges, n_frames: int) -> NDArray[np.bool_]:
    """One flag a frame: inside one of the ranges. Ranges beyond the table, or reversed, are cut."""
    mask = np.zeros(n_frames, dtype=np.bool_)
    for first, end in ranges.tolist():
        mask[min(max(first, 0), n_frames) : min(max(end, 0), n_frames)] = True
    return mask


def movable_mask(zones: Sequence[Zone], n_frames: int) -> NDArray[np.bool_]:
    """One flag a frame: its 8 MiB block is movable, which is static (odd number, zone not DMA)."""
    n_blocks = -(-n_frames // (1 << PAGEBLOCK_SHIFT))
    by_block = np.zeros((n_blocks, 1 << PAGEBLOCK_SHIFT), dtype=np.bool_)
    by_block[1::2] = True
    mask = by_block.reshape(-1)[:n_frames]
    for zone in zones:
        if zone.unmovable_only:
            mask[min(zone.first_pfn, n_frames) : min(zone.end_pfn, n_frames)] = False
    return mask


def digest_frames(pages: ArrayLike) -> NDArray[np.uint64]:
    """One 64-bit digest for each frame's payload, sensitive to the position of every byte.

    A change of a single aligned 8-byte word always changes the digest: each word is multiplied by its own
    odd number, which is invertible modulo 2^64.

    Args:
        pages: shape (k, 4096), uint8.
    """
    words = np.ascontiguousarray(pages, dtype=np.uint8).view("<u8")
    # Ours: 2^64 over the golden ratio, whose bits are well mixed, made even so that every weight is odd.
    weights = np.arange(words.shape[1], dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C16) + np.uint64(1)
    # A product of all words, then their sum, would write and read as much memory once more.
    digests: NDArray[np.uint64] = np.einsum("ij,j->i", words, weights)
    return digests
