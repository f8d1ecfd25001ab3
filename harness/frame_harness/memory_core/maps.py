"""Memory maps as data: what a core is given, and what it may make of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import TypeVar

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.histories.shrink import PlainStep

ADDRESS_SPACE = 1 << 64
MAX_REGIONS = 1024
"""As many as the shim has room for."""
MAX_PROTECTED = 32
"""Likewise."""

MANY = 1 << 20
"""So many frames are a large region: 4 GiB."""

Span = tuple[Paddr, Paddr]
"""Addresses in bytes, the end exclusive."""
N = TypeVar("N", bound=int)


class RegionKind(IntEnum):
    """What a region is; the value is the kernel's."""

    NULL = 0
    FREE = 1
    RECLAIM = 2
    RESERVED = 3

    @property
    def usable(self) -> bool:
        """Whether a core may use such memory."""
        return self in (RegionKind.FREE, RegionKind.RECLAIM)


@dataclass(frozen=True)
class MapRegion(PlainStep):
    """`size` bytes at `base`; nothing says that they are aligned, or that they are not beyond 2^64."""

    base: int
    size: int
    kind: RegionKind = RegionKind.FREE

    @property
    def end(self) -> int:
        """One past its last byte; beyond 2^64 where it wraps."""
        return self.base + self.size

    @property
    def wraps(self) -> bool:
        """Whether it goes on beyond the last address, so that it cannot be."""
        return self.end > ADDRESS_SPACE

    def __str__(self) -> str:
        return f"{self.base:#x}..{self.end:#x} {self.kind.name.lower()}"

    def simpler(self) -> Iterator[MapRegion]:
        """Regions that say less about themselves, the simplest first; each is smaller, so that they end."""
        if self.kind is RegionKind.RECLAIM:
            yield replace(self, kind=RegionKind.FREE)
        for unit in (1 << 20, PAGE_SIZE):
            base, end = -(-self.base // unit) * unit, self.end // unit * unit
            if (base, end) != (self.base, self.end) and base < end:
                yield MapRegion(base, end - base, self.kind)
        whole = self.size // PAGE_SIZE
        parts = (whole // 4, whole // 2, whole * 3 // 4)
        # A start on many GiB takes seconds: not a try for each frame.
        last = (whole * 7 // 8, whole * 15 // 16) if whole > MANY else (whole - 16, whole - 4, whole - 1)
        for frames in (*parts, *last):
            if 0 < frames < whole:
                yield replace(self, size=frames * PAGE_SIZE)


@dataclass(frozen=True)
class Islands(PlainStep):
    """`count` free regions of `frames` frames each, with one frame between them."""

    base: int
    count: int
    frames: int

    @property
    def stride(self) -> int:
        """Bytes from the begin of an island to that of the next one."""
        return (self.frames + 1) * PAGE_SIZE

    @property
    def regions(self) -> list[MapRegion]:
        """The islands as regions, ascending, all free."""
        size = self.frames * PAGE_SIZE
        return [MapRegion(self.base + at * self.stride, size) for at in range(self.count)]

    def __str__(self) -> str:
        return f"{self.count} islands of {self.frames} from {self.base:#x}"

    def simpler(self) -> Iterator[Islands]:
        """Yield fewer islands, one first, then islands of one frame."""
        for count in (1, self.count // 2, self.count * 3 // 4, self.count - 8, self.count - 1):
            if 0 < count < self.count:
                yield replace(self, count=count)
        if self.frames > 1:
            yield replace(self, frames=1)


@dataclass(frozen=True)
class Protected(PlainStep):
    """`size` bytes at `base` that the kernel keeps for itself, whatever the map says."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.base + self.size

    def __str__(self) -> str:
        return f"{self.base:#x}..{self.end:#x} protected"

    def simpler(self) -> Iterator[Protected]:
        """Yield the range rounded out to whole frames, unless it is that."""
        [span] = rounded_out([(self.base, self.end)])
        if span != (self.base, self.end):
            yield Protected(span[0], span[1] - span[0])


@dataclass(frozen=True)
class MemoryMap:
    """What a core is started on."""

    name: str
    parts: tuple[MapRegion | Islands, ...]
    protected: tuple[Protected, ...] = ()
    hhdm_end: int | None = None
    """Where the core can reach no memory any more while it boots; None for no such limit."""

    @cached_property
    def regions(self) -> tuple[MapRegion, ...]:
        """Each region by itself, in the order in which the core gets them."""
        return tuple(
            region
            for part in self.parts
            for region in (part.regions if isinstance(part, Islands) else (part,))
        )

    @property
    def top(self) -> int:
        """The highest end of memory that a core may use; no core can know slots beyond it."""
        return max((one.end for one in self.regions if one.kind.usable and not one.wraps), default=0)

    @property
    def strange(self) -> bool:
        """Whether it says what cannot be: a core may refuse such a map for that alone."""
        return any(one.wraps for one in self.regions)

    @cached_property
    def forbidden(self) -> list[Span]:
        """Where no frame may be used, in whole frames: reserved regions and protected ranges."""
        reserved = [
            (one.base, min(one.end, ADDRESS_SPACE)) for one in self.regions if one.size and _forbids(one)
        ]
        kept = [(one.base, one.end) for one in self.protected if one.size]
        return merged(rounded_out([*reserved, *kept]))

    @cached_property
    def usable(self) -> list[Span]:
        """The whole frames that a core may use, and has to: frame 0 belongs to nobody."""
        free = [(one.base, one.end) for one in self.regions if one.kind.usable and not one.wraps]
        return without(rounded_in(merged(free)), [(Paddr(0), Paddr(PAGE_SIZE)), *self.forbidden])

    @property
    def lines(self) -> list[str]:
        """In words, a line for each part."""
        limit = [] if self.hhdm_end is None else [f"reachable while booting: below {self.hhdm_end:#x}"]
        return [*map(str, self.parts), *map(str, self.protected), *limit]


def _forbids(region: MapRegion) -> bool:
    return not region.kind.usable and region.kind is not RegionKind.NULL


def rounded_in(spans: Iterable[tuple[int, int]]) -> list[Span]:
    """The whole frames inside of each."""
    found = ((-(-first // PAGE_SIZE) * PAGE_SIZE, end // PAGE_SIZE * PAGE_SIZE) for first, end in spans)
    return [(Paddr(first), Paddr(end)) for first, end in found if first < end]


def rounded_out(spans: Iterable[tuple[int, int]]) -> list[Span]:
    """The whole frames that each touches."""
    found = ((first // PAGE_SIZE * PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE) for first, end in spans)
    return [(Paddr(first), Paddr(end)) for first, end in found]


def merged(spans: Iterable[tuple[N, N]]) -> list[tuple[N, N]]:
    """The same addresses in order, each once."""
    ordered = sorted(span for span in spans if span[0] < span[1])
    if not ordered:
        return []
    found: list[tuple[N, N]] = []
    first, end = ordered[0]
    for other, other_end in ordered:
        if other > end:
            found.append((first, end))
            first, end = other, other_end
        elif other_end > end:
            end = other_end
    return [*found, (first, end)]


def without(spans: Iterable[tuple[N, N]], holes: Iterable[tuple[N, N]]) -> list[tuple[N, N]]:
    """What is left of each span, in the order of the spans; the pieces of one in ascending order."""
    cuts = merged(holes)
    ends = [end for _, end in cuts]
    left: list[tuple[N, N]] = []
    for first, end in spans:
        at = first
        for hole, hole_end in cuts[bisect_right(ends, first) :]:
            if hole >= end:
                break
            if at < hole:
                left.append((at, hole))
            at = hole_end
        if at < end:
            left.append((at, end))
    return left


def common(one: Iterable[tuple[N, N]], other: Iterable[tuple[N, N]]) -> list[tuple[N, N]]:
    """The addresses that are in both, in order."""
    others = merged(other)
    ends = [end for _, end in others]
    both: list[tuple[N, N]] = []
    for first, end in one:
        for start, stop in others[bisect_right(ends, first) :]:
            if start >= end:
                break
            both.append((max(first, start), min(end, stop)))
    return sorted((first, end) for first, end in both if first < end)


def length(spans: Iterable[tuple[int, int]]) -> int:
    """The sum of the lengths; what two spans share counts twice."""
    return sum(end - first for first, end in spans)
