"""One moment of a memory core, as values that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from frame_harness.base.units import Pfn, pfn_to_paddr
from frame_harness.memory_core.maps import Span, merged

KINDS = ("unmovable", "movable")
ZONES = ("dma", "normal", "highmem")
MAX_ORDER: Final = 11
"""Of the blocks that cores of this design have; one that has no list of an order returns an error."""
LARGEST_BYTE_ORDER: Final = 255
"""The largest order that a caller can ask for: an order is a byte."""


@dataclass(frozen=True)
class FreeBlock:
    """A block on a free list."""

    pfn: Pfn
    order: int
    kind: int
    """Index of its list, as in `KINDS`."""
    segment: int
    """Index among the state's segments."""

    @property
    def end(self) -> Pfn:
        """One past its last frame."""
        return Pfn(self.pfn + (1 << self.order))


@dataclass(frozen=True)
class ListFault:
    """What is wrong with a list's links, in words; the walk ended there."""

    what: str
    expected: str
    got: str
    pfn: Pfn


@dataclass(frozen=True)
class Segment:
    """Frames that are managed together; `holes`: some inside of it may not be managed at all."""

    zone: int
    first: Pfn
    end: Pfn
    holes: bool = False


@dataclass(frozen=True)
class ZoneCounters:
    """What a core says of a zone, in frames; None where this version has no such counter."""

    managed: int
    allocated: int
    cached: int | None
    free: int | None = None
    cached_of_kind: tuple[int, ...] = ()
    """By kind, as in `KINDS`; empty where this version has no such counters."""


@dataclass(frozen=True)
class Structure:
    """Memory that the core took for itself at boot."""

    name: str
    span: Span
    within: Span | None = None
    """Where it must lie, if it is a part of something larger."""
    align: int = 1
    """Its first address must be a multiple of it."""


@dataclass(frozen=True, eq=False)
class CoreState:
    """Everything that a core remembers, read in RAM."""

    segments: tuple[Segment, ...]
    blocks: tuple[FreeBlock, ...]
    faults: tuple[ListFault, ...]
    cached: tuple[tuple[Pfn, int, int], ...]
    """(pfn, kind, CPU) of each frame in a CPU's cache."""
    zones: tuple[ZoneCounters, ...]
    structures: tuple[Structure, ...]
    max_order: int
    quarantined: int | None = None
    """Frames that the core counts as quarantined; None where it does not count them."""
    cached_in_all: int | None = None
    """Frames that the core counts in all caches together; None likewise."""
    boot: tuple[Span, ...] = ()
    """What the boot allocator can still give; told of the first state alone."""
    locked: tuple[str, ...] = ()
    """Which locks somebody holds, of two that are read: that of `BUDDY_ALLOCATOR`, those of CPUs' caches."""

    def zone_of(self, pfn: Pfn) -> int | None:
        """The zone of the segment that a frame lies in."""
        return next((one.zone for one in self.segments if one.first <= pfn < one.end), None)

    @property
    def largest(self) -> int:
        """The order of the largest block on a list; 0 without any."""
        return max((block.order for block in self.blocks), default=0)

    @cached_property
    def n_free(self) -> int:
        """How many frames are in lists and caches."""
        return sum(1 << block.order for block in self.blocks) + len(self.cached)

    def population(self) -> list[Span]:
        """Where free frames are, in lists and caches."""
        return self._population

    @cached_property
    def _population(self) -> list[Span]:
        listed = [(pfn_to_paddr(block.pfn), pfn_to_paddr(block.end)) for block in self.blocks]
        cached = ((pfn_to_paddr(pfn), pfn_to_paddr(Pfn(pfn + 1))) for pfn, _, _ in self.cached)
        return merged([*listed, *cached])


@dataclass(frozen=True)
class LeftOut:
    """A part of a clause that cannot be judged of a core; `why` is a sentence for a person."""

    clause: str
    part: str
    why: str


def spans_of(structures: Sequence[Structure]) -> list[Span]:
    """The memory of each structure, in their order."""
    return [one.span for one in structures]


def free_frame(state: CoreState, where: str) -> Pfn | None:
    """A free frame.

    `listed`, `inside`: the ends of the smallest block; `middle`, `largest`: inside of the largest, its last.
    """
    if where == "cached":
        return state.cached[-1][0] if state.cached else None
    blocks = [block for block in state.blocks if where == "listed" or block.order]
    if where in ("middle", "largest"):
        most = max((block.pfn for block in blocks if block.order == state.largest), default=None)
        at = inner(state.largest) if where == "middle" else (1 << state.largest) - 1
        return None if most is None else Pfn(most + at)
    smallest = min(blocks, key=lambda block: (block.order, block.pfn), default=None)
    if smallest is None:
        return None
    return smallest.pfn if where == "listed" else Pfn(smallest.end - 1)


def inner(order: int) -> int:
    """Which frame of a block is at none of its ends, nor of those of its halves, where it has such a one."""
    return (1 << order) * 5 // 16
