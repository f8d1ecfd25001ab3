"""What a corruption of a guest's memory is, with the ways to make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT
from frame_harness.frame_metadata.constants import C
from frame_harness.guest.kernel import Kernel

NONE, UNUSED = C.link_none, C.refcount_unused
ORDER = 3
"""Of the list that is corrupted; it holds several blocks whose buddies are held."""


@dataclass(frozen=True)
class Scene:
    """A guest that has lived a little, with one frame of each kind.

    Args:
        pfns: by kind: `listed` (a block in the middle of a list), `head` (its first one), `inside` (a block),
            `cached`, `held`, `quarantined`, `hole`, `reserved`.
    """

    kernel: Kernel
    slots: NDArray[Any]
    buddy: Any
    pfns: Mapping[str, int]

    def slot(self, kind: str) -> Any:
        """One row of the slot table, live."""
        return self.slots[self.pfns[kind]]

    def head(self, order: int = ORDER) -> tuple[Any, int, int]:
        """The list of the head block: its zone's heads, migratetype, order."""
        zones = self.buddy["zones"]
        address = self.pfns["head"] << PAGE_SHIFT
        for zone in zones:
            for migratetype in (0, 1):
                if int(zone["heads"][migratetype, order]) == address:
                    return zone["heads"], migratetype, order
        raise LookupError(f"no list of order {order} begins at {address:#x}")

    def cache(self) -> Any:
        """The CPU cache that holds the cached frame."""
        address = self.pfns["cached"] << PAGE_SHIFT
        for cache in self.buddy["caches"].reshape(-1):
            if address in cache["frames"][: int(cache["len"])]:
                return cache
        raise LookupError(f"no cache holds {address:#x}")

    def zone(self) -> Any:
        """The zone of the held frame."""
        pfn = self.pfns["held"]
        return next(z for z in self.buddy["zones"] if int(z["first_pfn"]) <= pfn < int(z["end_pfn"]))


@dataclass(frozen=True)
class Corruption:
    """One field of one frame's slot, or one word of the buddy's, changed by the host.

    Args:
        fires: who must notice; nobody else may.
        may: who notices on some memory maps.
    """

    kind: str
    field: str
    change: str
    edit: Callable[[Scene], None]
    fires: frozenset[str]
    may: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.kind} {self.field} {self.change}"


def store(kind: str, field: str, value: int, change: str, *fires: str) -> Corruption:
    """A field gets a value."""

    def edit(scene: Scene) -> None:
        scene.slots[field][scene.pfns[kind]] = value

    return Corruption(kind, field, change, edit, frozenset(fires))


def flip(kind: str, field: str, bits: int, change: str, *fires: str) -> Corruption:
    """Bits of a field flip."""

    def edit(scene: Scene) -> None:
        scene.slots[field][scene.pfns[kind]] ^= bits

    return Corruption(kind, field, change, edit, frozenset(fires))


def step(kind: str, field: str, by: int, change: str, *fires: str) -> Corruption:
    """A field moves by so much, modulo its width."""

    def edit(scene: Scene) -> None:
        before = int(scene.slots[field][scene.pfns[kind]])
        scene.slots[field][scene.pfns[kind]] = (before + by) % 2**32

    return Corruption(kind, field, change, edit, frozenset(fires))


def link(kind: str, field: str, to: str, change: str, *fires: str) -> Corruption:
    """A link leads to another kind of frame."""

    def edit(scene: Scene) -> None:
        scene.slots[field][scene.pfns[kind]] = scene.pfns[to] << PAGE_SHIFT

    return Corruption(kind, field, change, edit, frozenset(fires))


def byte(kind: str, offset: int, *fires: str) -> Corruption:
    """A reserved byte is written."""

    def edit(scene: Scene) -> None:
        pfn = scene.pfns[kind]
        scene.slots[pfn : pfn + 1].view(np.uint8)[offset] = 0x5A

    return Corruption(kind, "reserved", f"byte {offset} written", edit, frozenset(fires))


def buddys(kind: str, field: str, change: str, edit: Callable[[Scene], None], *fires: str) -> Corruption:
    """A word outside the slots."""
    return Corruption(kind, field, change, edit, frozenset(fires))


def set_head(scene: Scene, link: int) -> None:
    heads, migratetype, order = scene.head()
    heads[migratetype, order] = link


def count(scene: Scene, **by: int) -> None:
    zone = scene.zone()
    for counter, more in by.items():
        zone[counter] = int(zone[counter]) + more


def enter(scene: Scene, kind: str) -> None:
    cache = scene.cache()
    cache["frames"][int(cache["len"])] = scene.pfns[kind] << PAGE_SHIFT
    cache["len"] += 1


def drop_cached(scene: Scene) -> None:
    scene.cache()["len"] -= 1


def split_largest(scene: Scene) -> None:
    """A free block becomes two halves on their own list: all sound, but not merged."""
    heads, migratetype, _ = scene.head()
    order = next(k for k in range(C.max_order, ORDER, -1) if int(heads[migratetype, k]) != NONE)
    first = int(heads[migratetype, order])
    pfn, half = first >> PAGE_SHIFT, 1 << (order - 1)
    second, slots = first + (half << PAGE_SHIFT), scene.slots
    _unlink_head(scene, heads, migratetype, order)
    slots["order"][pfn : pfn + 2 * half] = order - 1
    old = int(heads[migratetype, order - 1])
    heads[migratetype, order - 1] = first
    slots["prev"][pfn], slots["next"][pfn] = NONE, second
    slots["prev"][pfn + half], slots["next"][pfn + half] = first, old
    if old != NONE:
        slots["prev"][old >> PAGE_SHIFT] = second


def _unlink_head(scene: Scene, heads: Any, migratetype: int, order: int) -> None:
    behind = int(scene.slots["next"][int(heads[migratetype, order]) >> PAGE_SHIFT])
    heads[migratetype, order] = behind
    if behind != NONE:
        scene.slots["prev"][behind >> PAGE_SHIFT] = NONE


def overlap_zones(scene: Scene) -> None:
    scene.buddy["zones"][1]["first_pfn"] = int(scene.buddy["zones"][1]["first_pfn"]) - 1


def move_zone_edge(scene: Scene) -> None:
    """The edge between the first two zones comes to lie inside a free block."""
    low, high = scene.buddy["zones"][0], scene.buddy["zones"][1]
    edge = (int(low["heads"][0, C.max_order]) >> PAGE_SHIFT) + 5
    low["end_pfn"] = high["first_pfn"] = edge


def write_payload(scene: Scene) -> None:
    scene.kernel.payload(scene.pfns["listed"] << PAGE_SHIFT)[8] ^= 1
