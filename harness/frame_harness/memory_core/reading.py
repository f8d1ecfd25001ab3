"""Reads the state of a memory core in a guest's RAM, by debug information alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn, Vaddr, paddr_to_pfn
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.errors import ImageError
from frame_harness.image.placed import MEMORY_IN_SHIM
from frame_harness.memory_core.boot_memory import ENDS, BootMemory
from frame_harness.memory_core.counters import (
    CACHED,
    CACHED_OF_KINDS,
    CACHED_OF_ZONES,
    COUNTERS,
    QUARANTINED,
    Counters,
)
from frame_harness.memory_core.lists import Head, slot_type, walked
from frame_harness.memory_core.locks import declared_statics
from frame_harness.memory_core.maps import Span
from frame_harness.memory_core.shapes import require_counts, require_members, require_no_numbers
from frame_harness.memory_core.state import (
    KINDS,
    ZONES,
    CoreState,
    LeftOut,
    Segment,
    Structure,
    ZoneCounters,
)

_CORE = f"{MEMORY_IN_SHIM}::"
_BUDDY = f"{_CORE}buddy::"
_ALLOCATOR, _CACHES = f"{_BUDDY}BUDDY_ALLOCATOR", f"{_BUDDY}LOCAL_FRAME_CACHES"
_WORD = 8
_BEHIND_OWNER = 8
"""Where the value of the shim's `SpinLock` begins; see `sync/spinlock.rs`."""


class CoreReader:
    """Knows where an image keeps the core's state; reads it as often as asked."""

    def __init__(self, guest: BootedGuest) -> None:
        """Look up every name once.

        Raises:
            ImageError: the core keeps its state under other names, or in structures with other members.
        """
        self._guest, image = guest, guest.image
        self._slot = slot_type(image)
        self._buddy = image.dtype("buddy::BuddyAllocator")
        self._zone = image.dtype("zone::Zone")
        self._has_segments = "segments" in _names(self._zone)
        self._segment = image.dtype("zone::ZoneSegment") if self._has_segments else self._zone
        self._cache = image.dtype("buddy::LocalFrameCache")
        segments = {"zone::ZoneSegment": self._segment} if self._has_segments else {}
        require_members(
            {
                "buddy::BuddyAllocator": self._buddy,
                "zone::Zone": self._zone,
                **segments,
                "buddy::LocalFrameCache": self._cache,
                "frame::MetaSlot": self._slot,
            }
        )
        require_counts(self._buddy, self._segment)
        at, size = image.static(_ALLOCATOR)
        # `Option` keeps a word in front of the value, unless a value that never occurs stands for `None`.
        before = size - _BEHIND_OWNER - self._buddy.itemsize
        if before not in (0, 8):
            raise ImageError(
                "buddy::BUDDY_ALLOCATOR", "size", expected="an Option<BuddyAllocator> in a SpinLock",
                actual=f"{size} bytes, of which a BuddyAllocator has {self._buddy.itemsize}",
            )  # fmt: skip
        self._lock, self._allocator = at, Vaddr(at + _BEHIND_OWNER + before)
        self._caches, self._caches_bytes = image.static(_CACHES)
        counters = (f"{_BUDDY}{name}" for name in COUNTERS)
        declared = declared_statics(image, (_ALLOCATOR, _CACHES, *counters))
        self._locks = {path for path, is_lock in declared.items() if is_lock}
        self._boot = BootMemory(guest, _CORE, _BEHIND_OWNER)
        self._table_base = image.static(f"{_CORE}frame::METADATA_BASE_VIRT")[0]
        self._table_count = image.static(f"{_CORE}frame::METADATA_FRAME_COUNT")[0]
        self._zones = int(self._buddy["zones"].shape[0])
        sizes = (1, self._zones, self._zones * len(KINDS), 1)
        counts = dict(zip(COUNTERS, sizes, strict=True))
        self._counters = Counters(guest, _BUDDY, counts, declared)

    @property
    def unjudged(self) -> tuple[LeftOut, ...]:
        """What cannot be judged of this image, as far as that is known by now."""
        names = [path.removeprefix(_BUDDY) for path in (_ALLOCATOR, _CACHES) if path not in self._locks]
        locks = (
            LeftOut("CORE-09", name, f"who holds {name} is not judged: it is no lock of the shim's")
            for name in names
        )
        return (*locks, *self._counters.unjudged, *self._boot.unjudged)

    def read(self, structures: tuple[Structure, ...] | None = None) -> CoreState:
        """The state as it is now; the guest must stand at its prompt.

        Args:
            structures: as an earlier state of the same start has them: they never move.
        Raises:
            RamError: an address that the core remembers leads out of RAM.
        """
        allocator = self._guest.bytes_at(self._allocator, self._buddy.itemsize).view(self._buddy)[0]
        slots = self.slots()
        segments = [one for zone in range(len(allocator["zones"])) for one in self._segments(allocator, zone)]
        lists = [self._lists(at, record) for at, (_, record) in enumerate(segments)]
        max_order = int(self._segment["free_lists"].shape[-1]) - 1
        blocks, faults = walked([one for some in lists for one in some], slots)
        cached_words, of_kinds = map(self._counters.read, (CACHED_OF_ZONES, CACHED_OF_KINDS))
        return CoreState(
            segments=tuple(self._as_segment(zone, record) for zone, record in segments),
            blocks=tuple(blocks),
            faults=tuple(faults),
            cached=tuple(self._cached(len(slots))),
            zones=tuple(
                ZoneCounters(
                    managed=int(zone["page_count"]),
                    allocated=int(zone["allocated"]),
                    cached=None if cached_words is None else int(cached_words[at]),
                    # Those of the first kind come first, by zone.
                    cached_of_kind=() if of_kinds is None else tuple(of_kinds[at :: self._zones].tolist()),
                )
                for at, zone in enumerate(allocator["zones"])
            ),
            structures=tuple(self._structures(allocator, slots)) if structures is None else structures,
            max_order=max_order,
            quarantined=self._counters.number(QUARANTINED),
            cached_in_all=self._counters.number(CACHED),
            boot=tuple(self._boot.left()) if structures is None else (),
            locked=self.locked(),
        )

    def slots(self) -> NDArray[Any]:
        """The slots in RAM, shape (n_frames,), no copy; shape (0,) before there is a table."""
        base, count = Vaddr(self._number(self._table_base)), self._number(self._table_count)
        if not base or not count:
            return np.empty(0, self._slot)
        return self._guest.bytes_at(base, count * self._slot.itemsize).view(self._slot)

    def _segments(self, allocator: Any, zone: int) -> Iterator[tuple[int, Any]]:
        record = allocator["zones"][zone]
        if not self._has_segments:
            if record["page_count"]:
                yield zone, record
            return
        count, at = int(record["segment_count"]), Vaddr(int(record["segments"]))
        if count:
            table = self._guest.bytes_at(at, count * self._segment.itemsize).view(self._segment)
            yield from ((zone, one) for one in table)

    def _as_segment(self, zone: int, record: Any) -> Segment:
        first = paddr_to_pfn(Paddr(int(record["base"])))
        # A zone without segments covers its holes, too.
        holes = not self._has_segments and "span_pages" in _names(self._zone)
        frames = int(record["span_pages" if holes else "page_count"])
        return Segment(zone, first, Pfn(first + frames), holes)

    def _lists(self, segment: int, record: Any) -> list[Head]:
        """(segment, kind, order, physical address of the head) of each list that is not empty."""
        heads = record["free_lists"]
        by_kind = heads if heads.ndim == 2 else heads[None, :]
        kinds, orders = np.nonzero(by_kind)
        return [
            (segment, kind, order, Paddr(int(by_kind[kind, order])))
            for kind, order in zip(kinds.tolist(), orders.tolist(), strict=True)
        ]

    def locked(self) -> tuple[str, ...]:
        """Which of the shim's locks somebody holds; another lock may hold any word while it is free."""
        return tuple(self._locked())

    def _locked(self) -> Iterator[str]:
        if _ALLOCATOR in self._locks and self._number(self._lock):
            yield "BUDDY_ALLOCATOR"
        if _CACHES in self._locks and self._cache_bytes()[:, :_BEHIND_OWNER].any():
            yield "one of LOCAL_FRAME_CACHES"

    def _cache_bytes(self) -> NDArray[np.uint8]:
        """A row for each cache, with its lock."""
        stride = _BEHIND_OWNER + self._cache.itemsize
        return self._guest.bytes_at(self._caches, self._caches_bytes).reshape(-1, stride)

    def _cached(self, n_frames: int) -> Iterator[tuple[Pfn, int, int]]:
        raw = self._cache_bytes()
        count = len(raw)
        caches = np.ascontiguousarray(raw[:, _BEHIND_OWNER:]).view(self._cache).reshape(count)
        kinds = 2 if self._segment["free_lists"].ndim == 2 else 1
        cpus = count // kinds
        for index in np.flatnonzero(caches["len"]).tolist():
            frames = caches["frames"][index][: int(caches["len"][index])]
            paddrs = np.ascontiguousarray(frames).view("<u8").tolist()
            require_no_numbers(paddrs, n_frames)
            yield from ((paddr_to_pfn(paddr), index // cpus, index % cpus) for paddr in paddrs)

    def _structures(self, allocator: Any, slots: NDArray[Any]) -> Iterator[Structure]:
        if len(slots):
            # A slot is a line of a CPU's cache: the frame module asks for that.
            at, size = Vaddr(self._number(self._table_base)), self._slot.itemsize
            yield self._structure("slot table", at, slots.nbytes, align=size & -size)
        for zone, record in enumerate(allocator["zones"]):
            pool = self._pool(allocator, zone)
            if pool is not None:
                yield Structure(f"bitmaps of zone {ZONES[zone]}", pool)
            # Also where nothing was left to manage.
            if self._has_segments and record["segment_capacity"] and record["segments"]:
                size = int(record["segment_capacity"]) * self._segment.itemsize
                at, what = Vaddr(int(record["segments"])), f"segments of zone {ZONES[zone]}"
                yield self._structure(what, at, size, align=_WORD)
            for _, segment in self._segments(allocator, zone):
                yield from self._bits(segment, zone, pool)

    def _pool(self, allocator: Any, zone: int) -> Span | None:
        """Where a zone's bitmaps lie together, in versions that say so."""
        if "bitmap_pool" not in _names(self._buddy):
            return None
        pool = allocator["bitmap_pool"][zone]
        ends = next((ends for ends in ENDS if _names(pool.dtype) == ends), None)
        if ends is None:
            return None
        first, end = (Paddr(int(pool[part])) for part in ends)
        return (first, end) if first < end else None

    def _bits(self, segment: Any, zone: int, pool: Span | None) -> Iterator[Structure]:
        bitmaps = [(f"pair bits of order {at}", one) for at, one in enumerate(segment["buddy_bitmaps"])]
        names, where = _names(segment.dtype), f"in zone {ZONES[zone]}"
        if "alloc_bitmap" in names:
            bitmaps.append(("bits of what was given", segment["alloc_bitmap"]))
        for name, bitmap in bitmaps:
            if bitmap["num_bits"] and bitmap["data"]:
                size = -(-int(bitmap["num_bits"]) // 8)
                yield self._structure(f"{name} {where}", Vaddr(int(bitmap["data"])), size, pool)
        if "pageblock_tags" in names and segment["pageblock_tags"]:
            at, size = Vaddr(int(segment["pageblock_tags"])), int(segment["pageblock_count"])
            yield self._structure(f"tags of blocks {where}", at, size, pool)

    def _structure(
        self, name: str, vaddr: Vaddr, size: int, within: Span | None = None, align: int = 1
    ) -> Structure:
        first = Paddr(vaddr - self._guest.hhdm)
        return Structure(name, (first, Paddr(first + size)), within, align)

    def _number(self, vaddr: Vaddr) -> int:
        return int(self._guest.bytes_at(vaddr, 8).view("<u8")[0])


def _names(dtype: np.dtype[Any]) -> tuple[str, ...]:
    return dtype.names or ()
