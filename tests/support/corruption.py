"""Corruptions of a healthy memory state, each with the invariants that must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MemoryState, cached_frames, pfn_ranges
from tests.support.synthetic import LARGEST, SMALL

NONE = C.link_none
ALL_OF_A_LIST = frozenset({"W-LINK-SYMMETRIC", "W-LIST-REACHES-ONCE"})


@dataclass(frozen=True, eq=False)
class Subjects:
    """A private copy of a healthy state, with frames of it to corrupt."""

    state: MemoryState

    def write(self, pfn: int, **fields: int) -> None:
        for name, value in fields.items():
            self.state.slots[name][pfn] = value

    def flip(self, pfn: int, field: str, bits: int) -> None:
        self.state.slots[field][pfn] ^= bits

    def read(self, pfn: int, field: str) -> int:
        return int(self.state.slots[field][pfn])

    def write_byte(self, pfn: int, field: str, index: int, value: int) -> None:
        self.state.slots[field][pfn, index] = value

    # ---- frames by what they are ------------------------------------------------------------------------

    def _first(self, mask: NDArray[np.bool_]) -> int:
        return int(np.flatnonzero(mask)[0])

    def _flag(self, flag: int) -> NDArray[np.bool_]:
        has: NDArray[np.bool_] = (self.state.slots["flags"] & np.uint32(flag)) != 0
        return has

    def middle(self, order: int = 3) -> int:
        """A block in the middle of a list, its buddy's neighbor in no way special."""
        slots = self.state.slots
        return self._first(
            (slots["next"] != C.link_none) & (slots["prev"] != C.link_none) & (slots["order"] == order)
        )

    def second(self, order: int = 3) -> int:
        """Another block of the same list, behind `middle`."""
        return self.read(self.middle(order), "next") >> 12

    def inner(self, order: int = 3) -> int:
        """A slot inside a block, neither first nor last, no possible start of a block of that order."""
        return self.middle(order) + 3

    def head(self, zone: int = 1, migratetype: int = 0, order: int = 3) -> int:
        return int(self.state.zones[zone].heads[migratetype, order]) >> 12

    def held(self) -> int:
        """A single frame of the kernel's."""
        return self._first(self._flag(C.flag_kernel) & (self.state.slots["refcount"] != 0))

    def raw(self) -> int:
        """First frame of a block that was taken from the buddy as it is."""
        slots = self.state.slots
        unclaimed = slots["refcount"] == C.refcount_unused
        return self._first(self._flag(C.flag_allocated) & (slots["order"] > 0) & unclaimed)

    def cached(self) -> int:
        return int(self.state.cached["pfn"][0])

    def quarantined(self) -> int:
        """A quarantined frame that is poisoned itself."""
        return self._first(
            (self.state.slots["guard"] == C.guard_poisoned) & (self.state.slots["refcount"] == 0)
        )

    def largest_free(self, zone: int = 1) -> int:
        """A free block of the largest order."""
        slots = self.state.slots
        mask = self._flag(C.flag_free) & (slots["order"] == C.max_order)
        mask[: self.state.zones[zone].first_pfn] = False
        return self._first(mask)

    def hole(self) -> int:
        return int(self.state.ram[0, 1]) + 1

    def reserved(self) -> int:
        return int(self.state.off_limits[1, 0]) + 7

    # ---- what lies outside the slots ---------------------------------------------------------------------

    def set_head(self, zone: int, migratetype: int, order: int, link: int) -> None:
        self.state.zones[zone].heads[migratetype, order] = link

    def count(self, zone: int, **counters: int) -> MemoryState:
        """The state with counters of a zone raised by so much."""
        zones = list(self.state.zones)
        raised = {name: getattr(zones[zone], name) + by for name, by in counters.items()}
        zones[zone] = replace(zones[zone], **raised)
        return replace(self.state, zones=tuple(zones))


@dataclass(frozen=True)
class Corruption:
    """One field of one slot, list, cache or counter changed; `fires` is who must notice, nobody else may."""

    name: str
    edit: Callable[[Subjects], MemoryState | None]
    fires: frozenset[str]


def corruption(name: str, edit: Callable[[Subjects], MemoryState | None], *fires: str) -> Corruption:
    return Corruption(name, edit, frozenset(fires))


# ---- corruptions that take more than a line -------------------------------------------------------------


def relink_to_self(s: Subjects) -> None:
    s.write(s.middle(), next=s.middle() << 12)


def close_list_to_its_head(s: Subjects) -> None:
    pfn = s.head()
    while s.read(pfn, "next") != NONE:
        pfn = s.read(pfn, "next") >> 12
    s.write(pfn, next=s.head() << 12)


def detach_ring(s: Subjects) -> None:
    """Takes two neighbors out of their list, leaves it sound, and ties them to each other."""
    first, second = s.middle(), s.second()
    before, after = s.read(first, "prev"), s.read(second, "next")
    s.write(before >> 12, next=after)
    if after != NONE:
        s.write(after >> 12, prev=before)
    s.write(first, next=second << 12, prev=second << 12)
    s.write(second, next=first << 12, prev=first << 12)


def unlink_block(s: Subjects) -> None:
    """Takes a block out of its list soundly: lost, nothing else."""
    before, after = s.read(s.middle(), "prev"), s.read(s.middle(), "next")
    pfn = s.middle()
    s.write(before >> 12, next=after)
    s.write(after >> 12, prev=before)
    s.write(pfn, next=NONE, prev=NONE)


def move_head_to_other_migratetype(s: Subjects) -> None:
    """Swaps the heads of two whole lists of one zone and order."""
    unmovable, movable = s.head(1, 0) << 12, s.head(1, 1) << 12
    s.set_head(1, 0, 3, movable)
    s.set_head(1, 1, 3, unmovable)


def merge_lists(s: Subjects) -> None:
    """The last block of one list goes on into the second block of another."""
    pfn = s.head(1, 0)
    while s.read(pfn, "next") != NONE:
        pfn = s.read(pfn, "next") >> 12
    s.write(pfn, next=s.read(s.head(1, 1), "next"))


def split_without_need(s: Subjects) -> MemoryState:
    """A free block of order 4 becomes two of order 3, both on the list: all sound, but not coalesced."""
    pfn = s.head(1, 0, 4)
    behind = s.read(pfn, "next")
    s.set_head(1, 0, 4, behind)
    if behind != NONE:
        s.write(behind >> 12, prev=NONE)
    old = s.head(1, 0, 3)
    s.state.slots["order"][pfn : pfn + 16] = 3
    s.set_head(1, 0, 3, pfn << 12)
    s.write(pfn, prev=NONE, next=(pfn + 8) << 12)
    s.write(pfn + 8, prev=pfn << 12, next=old << 12)
    s.write(old, prev=(pfn + 8) << 12)
    return s.state


def shift_block(s: Subjects) -> None:
    """A free block starts one frame late: its first slot is somebody's, its list link leads to the second."""
    pfn = s.middle()
    before, after = s.read(pfn, "prev"), s.read(pfn, "next")
    s.write(before >> 12, next=(pfn + 1) << 12)
    s.write(after >> 12, prev=(pfn + 1) << 12)
    s.write(pfn + 1, next=after, prev=before)
    s.write(pfn, next=NONE, prev=NONE, flags=C.flag_allocated)


def enlarge_block(s: Subjects) -> None:
    """The order of an aligned order-0 block claims seven more frames."""
    slots = s.state.slots
    single = (slots["order"] == 0) & (slots["next"] != NONE) & (slots["flags"] & C.flag_free != 0)
    pfns = np.flatnonzero(single)
    alone = (pfns % 8 == 0) & (slots["order"][pfns ^ 8] != 3)
    s.write(int(pfns[alone][0]), order=3)


def move_zone_edge(s: Subjects) -> MemoryState:
    """The edge between the first two zones lies inside the block that ends there."""
    zones = s.state.zones
    pfn = s.largest_free()
    edge = pfn + LARGEST // 2 + 1
    middle = replace(zones[1], end_pfn=edge)
    high = replace(zones[2], first_pfn=edge)
    return replace(s.state, zones=(zones[0], middle, high))


def enter_into_cache(s: Subjects, pfn: int) -> MemoryState:
    return replace(s.state, cached=np.concatenate([s.state.cached, cached_frames([(pfn, 0, 0)])]))


def forget_reserved(s: Subjects) -> MemoryState:
    """The kernel image grows over a listed block, as far as the host knows."""
    pfn = s.middle()
    ranges = [*map(tuple, s.state.off_limits.tolist()), (pfn, pfn + 1)]
    return replace(s.state, off_limits=pfn_ranges(ranges))


def release_quarantined(s: Subjects) -> None:
    s.write(s.quarantined(), refcount=C.refcount_unused)


def touch_payload(s: Subjects) -> MemoryState:
    canary = s.state.canary
    assert canary is not None
    found = canary.found.copy()
    found[1] += np.uint64(1)
    return replace(s.state, canary=replace(canary, found=found))


CORRUPTIONS: list[Corruption] = [
    # every slot
    corruption(
        "inner slot's order out of range",
        lambda s: s.write(s.inner(), order=12),
        "W-ORDER-RANGE",
        "W-BLOCK-AGREES",
    ),
    corruption(
        "held slot's order out of range",
        lambda s: s.write(s.held(), order=255),
        "W-ORDER-RANGE",
        "W-HELD-ORDER",
    ),
    corruption(
        "head slot's order out of range",
        lambda s: s.write(s.middle(), order=77),
        "W-ORDER-RANGE",
        "W-BLOCK-AGREES",
        "W-BLOCK-ALIGNED",
        "W-BLOCK-DISJOINT",
        "W-LIST-HOME",
    ),
    corruption("byte 30 written", lambda s: s.write_byte(s.held(), "_reserved0", 1, 7), "W-RESERVED-ZERO"),
    corruption(
        "byte 63 written", lambda s: s.write_byte(s.middle(), "_reserved_tail", 15, 1), "W-RESERVED-ZERO"
    ),
    corruption("hole's guard written", lambda s: s.write(s.hole(), guard=1), "W-HOLE-UNTOUCHED"),
    corruption("hole's hint written", lambda s: s.write(s.hole(), meta_aux=1), "W-HOLE-UNTOUCHED"),
    corruption(
        "hole's slot is garbage",
        lambda s: s.write(
            s.hole(),
            next=0x3039,
            prev=5 << 12,
            vtable=7,
            flags=0xFFFF_FFFF ^ C.flag_free ^ C.flag_allocated,
            order=200,
            refcount=9,
            generation=1,
            guard=3,
            meta_aux=8,
        ),
        "W-HOLE-UNTOUCHED",
    ),
    corruption(
        "hole's slot is garbage that calls itself free",
        lambda s: s.write(s.hole(), next=0x3039, vtable=7, flags=C.flag_free | 1, order=200, guard=3),
        "W-HOLE-UNTOUCHED",
        "W-OFF-LIMITS",
    ),
    corruption(
        "hole's reserved byte written",
        lambda s: s.write_byte(s.hole(), "_reserved0", 1, 7),
        "W-HOLE-UNTOUCHED",
    ),
    corruption("hole's vtable written", lambda s: s.write(s.hole(), vtable=8), "W-HOLE-UNTOUCHED"),
    corruption(
        "reserved frame's refcount written",
        lambda s: s.write(s.reserved(), refcount=1),
        "W-OFF-LIMITS-UNTOUCHED",
    ),
    corruption(
        "reserved frame's guard written", lambda s: s.write(s.reserved(), guard=1), "W-OFF-LIMITS-UNTOUCHED"
    ),
    # free frames
    corruption("listed frame's refcount", lambda s: s.write(s.middle(), refcount=1), "W-FREE-REFCOUNT"),
    corruption("inner frame's refcount", lambda s: s.write(s.inner(), refcount=0), "W-FREE-REFCOUNT"),
    corruption("cached frame's refcount", lambda s: s.flip(s.cached(), "refcount", 1), "W-FREE-REFCOUNT"),
    corruption("listed frame's vtable", lambda s: s.write(s.middle(), vtable=0x1000), "W-FREE-VTABLE"),
    corruption("cached frame's vtable", lambda s: s.write(s.cached(), vtable=1 << 63), "W-FREE-VTABLE"),
    corruption(
        "listed frame's guard", lambda s: s.write(s.middle(), guard=C.guard_kernel_only), "W-FREE-GUARD"
    ),
    corruption(
        "inner frame's guard poisoned", lambda s: s.write(s.inner(), guard=C.guard_poisoned), "W-FREE-GUARD"
    ),
    corruption(
        "listed frame says KERNEL", lambda s: s.flip(s.middle(), "flags", C.flag_kernel), "W-FREE-FLAGS"
    ),
    corruption(
        "inner frame says POISONED", lambda s: s.flip(s.inner(), "flags", C.flag_poisoned), "W-FREE-FLAGS"
    ),
    corruption(
        "cached frame's MOVABLE flips", lambda s: s.flip(s.cached(), "flags", C.flag_movable), "W-FREE-FLAGS"
    ),
    # owners
    corruption(
        "listed frame says ALLOCATED too",
        lambda s: s.flip(s.middle(), "flags", C.flag_allocated),
        "W-ONE-OWNER",
    ),
    corruption(
        "held frame loses ALLOCATED", lambda s: s.flip(s.held(), "flags", C.flag_allocated), "W-ONE-OWNER"
    ),
    corruption(
        "held frame's count is the sentinel",
        lambda s: s.write(s.held(), refcount=C.refcount_unused),
        "W-HELD-COUNT",
    ),
    corruption("held frame's order", lambda s: s.write(s.held(), order=1), "W-HELD-ORDER"),
    corruption(
        "reserved frame is handed out",
        lambda s: s.write(s.reserved(), flags=C.flag_allocated),
        "W-OFF-LIMITS",
        "W-OFF-LIMITS-UNTOUCHED",
    ),
    corruption(
        "hole is handed out",
        lambda s: s.write(s.hole(), flags=C.flag_allocated),
        "W-OFF-LIMITS",
        "W-HOLE-UNTOUCHED",
    ),
    corruption(
        "kernel image over a listed block",
        forget_reserved,
        "W-OFF-LIMITS",
        "W-OFF-LIMITS-UNTOUCHED",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption(
        "frame twice in caches",
        lambda s: enter_into_cache(s, s.cached()),
        "W-CACHE-ENTRY",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption("cache entry outside the table", lambda s: enter_into_cache(s, 2**60), "W-CACHE-ENTRY"),
    corruption(
        "held frame in a cache",
        lambda s: enter_into_cache(s, s.held()),
        "W-CACHE-ENTRY",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption(
        "listed frame in a cache",
        lambda s: enter_into_cache(s, s.middle(0)),
        "W-CACHE-ENTRY",
        "W-LINK-HEADS-ONLY",
        "W-LIST-ONLY-FREE",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption("cached frame's order", lambda s: s.write(s.cached(), order=1), "W-CACHE-ENTRY"),
    corruption(
        "cached frame loses FREE",
        lambda s: s.flip(s.cached(), "flags", C.flag_free),
        "W-CACHE-ENTRY",
        "W-ONE-OWNER",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption("quarantined frame gets the sentinel", release_quarantined, "W-QUARANTINE"),
    # blocks
    corruption("block one frame late", shift_block, "W-BLOCK-ALIGNED", "W-BLOCK-AGREES", "W-ACCOUNT-RECOUNT"),
    corruption(
        "block across a zone's edge",
        move_zone_edge,
        "W-BLOCK-ONE-ZONE",
        "W-ACCOUNT-RECOUNT",
        "W-LIST-HOME",
    ),
    corruption(
        "head slot's order smaller", lambda s: s.write(s.middle(), order=2), "W-BLOCK-AGREES", "W-LIST-HOME"
    ),
    corruption("inner slot's order", lambda s: s.write(s.inner(), order=0), "W-BLOCK-AGREES"),
    corruption(
        "inner slot loses FREE",
        lambda s: s.flip(s.inner(), "flags", C.flag_free),
        "W-BLOCK-AGREES",
        "W-ONE-OWNER",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption(
        "last slot loses FREE",
        lambda s: s.flip(s.middle() + 7, "flags", C.flag_free),
        "W-BLOCK-AGREES",
        "W-ONE-OWNER",
        "W-ACCOUNT-RECOUNT",
    ),
    corruption(
        "head slot loses FREE",
        lambda s: s.flip(s.middle(), "flags", C.flag_free),
        "W-BLOCK-AGREES",
        "W-ONE-OWNER",
        "W-ACCOUNT-RECOUNT",
        "W-LIST-ONLY-FREE",
        "W-LINK-HEADS-ONLY",
    ),
    corruption(
        "block swallows its neighbors", enlarge_block, "W-BLOCK-AGREES", "W-BLOCK-DISJOINT", "W-LIST-HOME"
    ),
    corruption("buddies left apart", split_without_need, "W-BLOCK-COALESCED"),
    # links and lists
    corruption("next misaligned", lambda s: s.flip(s.middle(), "next", 1), "W-LINK-IN-TABLE", *ALL_OF_A_LIST),
    corruption(
        "next outside the table", lambda s: s.write(s.middle(), next=2**63), "W-LINK-IN-TABLE", *ALL_OF_A_LIST
    ),
    corruption(
        "next one past the table",
        lambda s: s.write(s.middle(), next=SMALL.n_frames << 12),
        "W-LINK-IN-TABLE",
        *ALL_OF_A_LIST,
    ),
    corruption("next of a head is lost", lambda s: s.write(s.head(), next=NONE), *ALL_OF_A_LIST),
    corruption("next to itself", relink_to_self, "W-LINK-SYMMETRIC", "W-LIST-ACYCLIC", "W-LIST-REACHES-ONCE"),
    corruption(
        "prev misaligned", lambda s: s.flip(s.middle(), "prev", 64), "W-LINK-IN-TABLE", "W-LINK-SYMMETRIC"
    ),
    corruption("prev lost", lambda s: s.write(s.middle(), prev=NONE), "W-LINK-SYMMETRIC"),
    corruption(
        "prev to another block", lambda s: s.write(s.middle(), prev=s.head(1, 1) << 12), "W-LINK-SYMMETRIC"
    ),
    corruption(
        "head has a prev",
        lambda s: s.write(s.head(), prev=s.head(1, 1) << 12),
        "W-LINK-SYMMETRIC",
        "W-LIST-HEAD-NO-PREV",
    ),
    corruption(
        "inner slot linked", lambda s: s.write(s.inner(), next=0), "W-LINK-HEADS-ONLY", "W-LINK-SYMMETRIC"
    ),
    corruption(
        "held slot linked", lambda s: s.write(s.held(), prev=12345), "W-LINK-HEADS-ONLY", "W-LINK-IN-TABLE"
    ),
    corruption("head pointer lost", lambda s: s.set_head(1, 0, 3, NONE), "W-LIST-REACHES-ONCE"),
    corruption(
        "head pointer misaligned",
        lambda s: s.set_head(1, 0, 3, (s.head() << 12) | 8),
        "W-LIST-HEAD",
        "W-LIST-REACHES-ONCE",
    ),
    corruption(
        "head pointer skips a block",
        lambda s: s.set_head(1, 0, 3, s.read(s.head(), "next")),
        "W-LIST-HEAD-NO-PREV",
        "W-LIST-REACHES-ONCE",
    ),
    corruption(
        "head pointer to a held frame", lambda s: s.set_head(0, 1, 9, s.held() << 12), "W-LIST-ONLY-FREE"
    ),
    corruption("lists of two migratetypes swapped", move_head_to_other_migratetype, "W-LIST-HOME"),
    corruption(
        "list closed to a ring",
        close_list_to_its_head,
        "W-LINK-SYMMETRIC",
        "W-LIST-ACYCLIC",
        "W-LIST-REACHES-ONCE",
    ),
    corruption("ring beside the lists", detach_ring, "W-LIST-ACYCLIC", "W-LIST-REACHES-ONCE"),
    corruption("two lists share a tail", merge_lists, "W-LINK-SYMMETRIC", "W-LIST-REACHES-ONCE"),
    corruption("block on no list", unlink_block, "W-LIST-REACHES-ONCE"),
    # counters
    corruption("free counted too high", lambda s: s.count(1, free=1), "W-ACCOUNT-SUM", "W-ACCOUNT-RECOUNT"),
    corruption(
        "managed counted too low", lambda s: s.count(2, managed=-1), "W-ACCOUNT-SUM", "W-ACCOUNT-RECOUNT"
    ),
    corruption(
        "one frame free instead of cached", lambda s: s.count(1, free=1, cached=-1), "W-ACCOUNT-RECOUNT"
    ),
    corruption(
        "one frame held instead of reserved",
        lambda s: s.count(0, allocated=1, reserved=-1),
        "W-ACCOUNT-RECOUNT",
    ),
    corruption(
        "one frame held instead of quarantined",
        lambda s: s.count(0, allocated=1, quarantined=-1),
        "W-ACCOUNT-RECOUNT",
    ),
    corruption("sum of both wrong by as much", lambda s: s.count(1, free=5, managed=5), "W-ACCOUNT-RECOUNT"),
    corruption("zones overlap", lambda s: s.count(1, first_pfn=-1), "W-ZONE-TILES", "W-ACCOUNT-RECOUNT"),
    # against the past, or against what was planted
    corruption(
        "generation goes back",
        lambda s: s.write(s.held(), generation=s.read(s.held(), "generation") - 1),
        "W-GENERATION-FORWARD",
    ),
    corruption("quarantined frame healed", lambda s: s.write(s.quarantined(), guard=0), "W-POISON-STAYS"),
    corruption(
        "quarantined frame reborn", lambda s: s.write(s.quarantined(), generation=500), "W-POISON-STAYS"
    ),
    corruption("payload of a free frame", touch_payload, "W-PAYLOAD-CANARY"),
]
