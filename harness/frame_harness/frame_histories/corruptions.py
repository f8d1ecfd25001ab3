"""What a corruption of the memory bookkeeping is, with the ways to make one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_metadata.constants import C

NONE, UNUSED = C.link_none, C.refcount_unused
ORDER = 3
"""Of the lists that are corrupted; the buddies of their blocks are held."""


@dataclass(frozen=True)
class CorruptionScene:
    """Bookkeeping as numpy rows, a guest's live ones or made up, with one frame of each kind."""

    slots: NDArray[Any]
    """The table, shape (n_frames,)."""
    zones: NDArray[Any]
    """Shape (n_zones,), rows with bounds, counters and heads."""
    caches: NDArray[Any]
    """Shape (n_cpus, 2), by CPU and migratetype, rows with `len` and the physical addresses `frames`."""
    payload: NDArray[np.uint8]
    """Of the listed frame, shape (4096,)."""
    pfns: Mapping[str, Pfn]
    """By kind: `head` (first block of a list), `listed` (its `middle_of`), `inside` (that one), `last` (its
    last frame), `elsewhere` (first block of another list of the same order), `cached` (the next one to leave
    its cache), `held`, `quarantined`, `hole`, `reserved`.
    """

    def paddr(self, kind: str) -> Paddr:
        """The address of the frame of a kind; raises KeyError where the scene has none."""
        return pfn_to_paddr(self.pfns[kind])

    def list_from(self, head: int) -> tuple[Any, tuple[int, int]]:
        """The list that begins at an address, or at none: the heads of its zone, its place among them."""
        for zone in self.zones:
            for at, each in np.ndenumerate(zone["heads"]):
                if int(each) == head:
                    return zone["heads"], (at[0], at[1])
        raise LookupError(f"no list begins at {head:#x}")

    def cache(self) -> Any:
        """The CPU cache that holds the cached frame."""
        caches = self.caches.reshape(-1)
        return next(row for row in caches if self.paddr("cached") in row["frames"][: int(row["len"])])

    def zone(self, kind: str) -> Any:
        """The row of the zone that the frame of a kind lies in."""
        pfn = self.pfns[kind]
        return next(row for row in self.zones if int(row["first_pfn"]) <= pfn < int(row["end_pfn"]))

    def links(self, kind: str) -> tuple[int, int]:
        """Where the links of a frame lead: before and behind."""
        row = self.slots[self.pfns[kind]]
        return int(row["prev"]), int(row["next"])

    def tie(self, before: int, behind: int) -> None:
        """Make two addresses neighbors on a list; one that is none has no slot to write to."""
        for field, at, to in (("next", before, behind), ("prev", behind, before)):
            if at != NONE:
                self.slots[field][paddr_to_pfn(Paddr(at))] = to

    def tail(self, kind: str) -> Paddr:
        """The address of the last block of the list that begins with a frame."""
        *_, last = blocks_of(self.slots, self.paddr(kind))
        return last


def blocks_of(slots: NDArray[Any], head: Paddr) -> Iterator[Paddr]:
    """The addresses of the blocks of a list; `slots` is the table, shape (n_frames,)."""
    while head != NONE:
        yield head
        head = Paddr(int(slots["next"][paddr_to_pfn(head)]))


def middle_of(slots: NDArray[Any], head: Paddr) -> Paddr:
    """A block behind a list's first one; four times as large it would reach over another free one.

    Args:
        slots: the table, shape (n_frames,).
        head: address of the list's first block.
    """
    size = C.page_size << ORDER
    return next(
        paddr
        for paddr in islice(blocks_of(slots, head), 1, None)
        if paddr % (4 * size) == 0 and slots["flags"][paddr_to_pfn(Paddr(paddr + 2 * size))] & C.flag_free
    )


@dataclass(frozen=True)
class Corruption:
    """One thing about the bookkeeping changed by the host."""

    kind: str
    field: str
    change: str
    edit: Callable[[CorruptionScene], None]
    fires: frozenset[str]
    """Who must notice; nobody else may."""
    may: frozenset[str] = frozenset()
    """Who notices on some memory maps."""

    @property
    def name(self) -> str:
        """Kind, field and change as one line, such as `held order larger`."""
        return f"{self.kind} {self.field} {self.change}"

    def explains(self, seen: frozenset[str]) -> bool:
        """Whether exactly those invariants fired that should."""
        return self.fires <= seen <= self.fires | self.may


def corruption(
    kind: str,
    field: str,
    change: str,
    edit: Callable[[CorruptionScene], None],
    fires: str = "",
    may: str = "",
) -> Corruption:
    """Anything; `fires` and `may` name invariants without their `W-`."""
    must, can = (frozenset(f"W-{name}" for name in names.split()) for names in (fires, may))
    return Corruption(kind, field, change, edit, must, can)


# ---- one field of one slot --------------------------------------------------------------------------------

WordChange = Callable[[CorruptionScene, int], int]
"""From what a field holds to what it is to hold."""


def slot(kind: str, field: str, change: str, new: WordChange, fires: str = "", may: str = "") -> Corruption:
    """A field of a frame's slot changes."""

    def edit(scene: CorruptionScene) -> None:
        row = scene.slots[scene.pfns[kind]]
        row[field] = new(scene, int(row[field]))

    return corruption(kind, field, change, edit, fires, may)


def to(value: int) -> WordChange:
    """Make a field hold a number, whatever it holds."""
    return lambda _scene, _before: value


def flip(bits: int) -> WordChange:
    """Toggle bits of a field."""
    return lambda _scene, before: before ^ bits


def step(by: int) -> WordChange:
    """Add to a field of 32 bits, modulo 2^32."""
    return lambda _scene, before: (before + by) % 2**32


def link(kind: str) -> WordChange:
    """Make a field hold the address of the scene's frame of a kind."""
    return lambda scene, _before: scene.paddr(kind)


def past_the_table(scene: CorruptionScene, _before: int) -> int:
    """Make a field hold the address of the first frame that has no slot."""
    return pfn_to_paddr(Pfn(len(scene.slots)))


def byte(kind: str, offset: int, fires: str) -> Corruption:
    """A reserved byte of a slot is written; its value is ours."""

    def edit(scene: CorruptionScene) -> None:
        pfn = scene.pfns[kind]
        scene.slots[pfn : pfn + 1].view(np.uint8)[offset] = 0x5A

    return corruption(kind, "reserved", f"byte {offset} written", edit, fires)


def garbage(change: str, fires: str, flags: int) -> Corruption:
    """The slot of a frame that is no RAM is written all over, with values of ours."""

    def edit(scene: CorruptionScene) -> None:
        row = scene.slots[scene.pfns["hole"]]
        fields = {"next": 0x3039, "prev": pfn_to_paddr(Pfn(5)), "vtable": 7, "order": 200, "refcount": 9}
        fields |= {"generation": 1, "guard": 3, "meta_aux": 8, "flags": flags % 2**32}
        for name, value in fields.items():
            row[name] = value

    return corruption("hole", "slot", change, edit, fires)


# ---- lists ------------------------------------------------------------------------------------------------


AddressOf = Callable[[CorruptionScene], int]


def first(scene: CorruptionScene) -> Paddr:
    """The address that the head pointer of the corrupted list holds."""
    return scene.paddr("head")


def head(change: str, new: AddressOf, fires: str, old: AddressOf = first) -> Corruption:
    """The pointer to a list's first block changes."""

    def edit(scene: CorruptionScene) -> None:
        heads, at = scene.list_from(old(scene))
        heads[at] = new(scene)

    return corruption("list", "head", change, edit, fires)


def swap_lists(scene: CorruptionScene) -> None:
    """Swaps the heads of two whole lists of one order."""
    one, other = scene.paddr("head"), scene.paddr("elsewhere")
    (heads, at), (others, there) = scene.list_from(one), scene.list_from(other)
    heads[at], others[there] = other, one


def close_to_a_ring(scene: CorruptionScene) -> None:
    """The last block of a list leads back to the first."""
    scene.slots["next"][paddr_to_pfn(scene.tail("head"))] = scene.paddr("head")


def share_a_tail(scene: CorruptionScene) -> None:
    """The last block of one list leads to the first of another."""
    scene.slots["next"][paddr_to_pfn(scene.tail("head"))] = scene.paddr("elsewhere")


def unlink(scene: CorruptionScene) -> None:
    """Takes a block out of its list soundly: lost, nothing else."""
    scene.tie(*scene.links("listed"))
    row = scene.slots[scene.pfns["listed"]]
    row["prev"] = row["next"] = NONE


def detach_a_ring(scene: CorruptionScene) -> None:
    """Takes two neighbors out of their list, leaves it sound, ties them to each other."""
    one, (before, other) = scene.paddr("listed"), scene.links("listed")
    scene.tie(before, int(scene.slots["next"][paddr_to_pfn(Paddr(other))]))
    scene.tie(one, other)
    scene.tie(other, one)


def shift_block(scene: CorruptionScene) -> None:
    """A free block starts one frame late: its first slot is somebody's, its links lead to the second."""
    before, behind = scene.links("listed")
    late = scene.paddr("listed") + C.page_size
    scene.tie(before, late)
    scene.tie(late, behind)
    row = scene.slots[scene.pfns["listed"]]
    row["prev"] = row["next"] = NONE
    row["flags"] = C.flag_allocated


def split_larger(scene: CorruptionScene) -> None:
    """A free block becomes two halves on their own list: all sound, but not merged."""
    heads, (migratetype, _) = scene.list_from(first(scene))
    order = next(k for k in range(C.max_order, ORDER, -1) if int(heads[migratetype, k]) != NONE)
    low, old = Paddr(int(heads[migratetype, order])), int(heads[migratetype, order - 1])
    pfn, half = paddr_to_pfn(low), 1 << (order - 1)
    heads[migratetype, order] = behind = int(scene.slots["next"][pfn])
    scene.tie(NONE, behind)
    scene.slots["order"][pfn : pfn + 2 * half] = order - 1
    high = pfn_to_paddr(Pfn(pfn + half))
    heads[migratetype, order - 1] = low
    scene.tie(NONE, low)
    scene.tie(low, high)
    scene.tie(high, old)


# ---- zones, caches, payload -------------------------------------------------------------------------------


def count(kind: str, field: str, change: str, fires: str, **by: int) -> Corruption:
    """Counters of a frame's zone change."""

    def edit(scene: CorruptionScene) -> None:
        zone = scene.zone(kind)
        for counter, more in by.items():
            zone[counter] = int(zone[counter]) + more

    return corruption("zone", field, change, edit, fires)


def overlap_zones(scene: CorruptionScene) -> None:
    """The second zone begins one frame too early; the first keeps its end."""
    scene.zones[1]["first_pfn"] = int(scene.zones[1]["first_pfn"]) - 1


def move_zone_edge(scene: CorruptionScene) -> None:
    """The edge between the first two zones comes to lie inside a free block."""
    low, high = scene.zones[0], scene.zones[1]
    heads = [Paddr(int(low["heads"][0, order])) for order in range(C.max_order, ORDER, -1)]
    edge = paddr_to_pfn(next(head for head in heads if head != NONE)) + 5
    low["end_pfn"] = high["first_pfn"] = edge


def enter(change: str, paddr: AddressOf, fires: str) -> Corruption:
    """The cache of the cached frame gets one frame more."""

    def edit(scene: CorruptionScene) -> None:
        cache = scene.cache()
        cache["frames"][int(cache["len"])] = paddr(scene)
        cache["len"] += 1

    return corruption("cache", "frames", change, edit, fires)


def drop_cached(scene: CorruptionScene) -> None:
    """The cache of the cached frame loses its last entry; slot and counters stay."""
    scene.cache()["len"] -= 1


def write_payload(scene: CorruptionScene) -> None:
    """One bit of the listed frame's payload changes."""
    scene.payload[8] ^= 1
