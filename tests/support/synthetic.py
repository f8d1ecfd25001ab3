"""Healthy memory states of any size, made up without a guest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import (
    CACHED_FRAME,
    MemoryState,
    PfnRanges,
    Zone,
    mask_of_ranges,
    movable_mask,
    pfn_ranges,
)

LARGEST = 1 << C.max_order
ZONE_NAMES = ("dma", "normal", "highmem")

# The dtype of a real guest comes from its ELF; this one need only have the names.
SLOT = np.dtype(
    [
        ("next", "<u8"),
        ("prev", "<u8"),
        ("vtable", "<u8"),
        ("flags", "<u4"),
        ("order", "u1"),
        ("_reserved0", "u1", (3,)),
        ("refcount", "<u4"),
        ("generation", "<u4"),
        ("guard", "<u4"),
        ("meta_aux", "<u4"),
        ("_reserved_tail", "u1", (16,)),
    ]
)

FREE, HELD, CACHED, QUARANTINED = range(4)


@dataclass(frozen=True)
class Shape:
    """What a made-up memory looks like.

    Args:
        zone_ends: pfns where the first and second zone end, multiples of the largest block.
        holes: ranges of pfns without RAM, any alignment.
        reserved: ranges of RAM that the buddy does not own, any alignment.
        keep: chance that a block which could be split is not.
        free: chance that a block is free (before buddies are kept apart).
        cached: chance that a single frame that is not free lies in a CPU cache.
        quarantined: chance that a block that is not free is quarantined.
    """

    n_frames: int
    seed: int = 1
    zone_ends: tuple[int, int] = (4096, 229376)
    holes: tuple[tuple[int, int], ...] = ()
    reserved: tuple[tuple[int, int], ...] = ()
    keep: float = 0.3
    free: float = 0.6
    cached: float = 0.02
    quarantined: float = 0.01


# Three zones, both migratetypes, blocks of all orders, a hole and islands of odd alignment.
SMALL = Shape(
    24 * LARGEST,
    zone_ends=(2 * LARGEST, 12 * LARGEST),
    holes=((3 * LARGEST + 5, 4 * LARGEST - 3),),
    reserved=((0, 1), (256, 777), (20000, 20003)),
)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Blocks that tile the usable frames, ascending."""

    pfn: NDArray[np.int64]
    order: NDArray[np.int64]
    owner: NDArray[np.int8]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.int64(1) << self.order


def healthy_state(shape: Shape) -> MemoryState:
    """A state that breaks no invariant, as different from others as its seed."""
    rng = np.random.default_rng(shape.seed)
    n = shape.n_frames
    holes = pfn_ranges(shape.holes)
    ram = _complement(holes, n)
    off_limits = pfn_ranges(shape.reserved)
    usable = mask_of_ranges(ram, n) & ~mask_of_ranges(off_limits, n)
    leaves = _split(usable, shape, rng)
    slots = np.zeros(n, dtype=SLOT)
    slots["next"] = slots["prev"] = C.link_none
    zones = _empty_zones(shape)
    movable = movable_mask(zones, n)
    _fill_slots(slots, np.flatnonzero(usable), leaves, movable, rng)
    cached = _caches(leaves, rng)
    zones = _link_and_count(slots, zones, leaves, movable, ram, off_limits, rng)
    quarantined = leaves.owner == QUARANTINED
    return MemoryState(
        slots,
        zones,
        cached,
        ram,
        off_limits,
        quarantined=_frames_of(leaves.pfn[quarantined], leaves.sizes[quarantined]),
    )


def _complement(holes: PfnRanges, n: int) -> PfnRanges:
    edges = [0, *np.sort(holes, axis=0).ravel().tolist(), n]
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def _split(usable: NDArray[np.bool_], shape: Shape, rng: np.random.Generator) -> Leaves:
    padded = np.zeros(-(-len(usable) // LARGEST) * LARGEST, dtype=np.bool_)
    padded[: len(usable)] = usable
    full: list[NDArray[np.bool_]] = [padded]
    some: list[NDArray[np.bool_]] = [padded]
    for _ in range(C.max_order):
        full.append(np.logical_and.reduce(full[-1].reshape(-1, 2), axis=1))
        some.append(np.logical_or.reduce(some[-1].reshape(-1, 2), axis=1))
    present = some[-1]
    pfns, orders, owners = [], [], []
    for order in range(C.max_order, -1, -1):
        stays = present & full[order]
        if order:
            stays &= rng.random(len(present)) < shape.keep
        at = np.flatnonzero(stays)
        pfns.append(at << order)
        orders.append(np.full(len(at), order))
        owners.append(_owners(at, order, shape, rng))
        if order:
            present = np.repeat(present & ~stays, 2) & some[order - 1]
    pfn = np.concatenate(pfns)
    ascending = np.argsort(pfn)
    return Leaves(pfn[ascending], np.concatenate(orders)[ascending], np.concatenate(owners)[ascending])


def _owners(at: NDArray[np.int64], order: int, shape: Shape, rng: np.random.Generator) -> NDArray[np.int8]:
    owner = np.where(rng.random(len(at)) < shape.free, FREE, HELD).astype(np.int8)
    if order < C.max_order:
        # Two free buddies would have coalesced: the second one is held.
        buddies = np.flatnonzero((at[1:] == at[:-1] + 1) & (at[:-1] % 2 == 0)) + 1
        owner[buddies[owner[buddies - 1] == FREE]] = HELD
    held = owner == HELD
    owner[held & (rng.random(len(at)) < shape.quarantined)] = QUARANTINED
    if order == 0:
        owner[(owner == HELD) & (rng.random(len(at)) < shape.cached)] = CACHED
    return owner


def _fill_slots(
    slots: NDArray[np.void],
    pfns: NDArray[np.intp],
    leaves: Leaves,
    movable: NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Every field of the usable frames' slots but the links."""
    owner = np.repeat(leaves.owner, leaves.sizes)
    order = np.repeat(leaves.order, leaves.sizes)
    is_first = np.repeat(leaves.pfn, leaves.sizes) == pfns
    free = (owner == FREE) | (owner == CACHED)
    quarantined = owner == QUARANTINED
    single = (owner == HELD) & (order == 0)
    user = single & (rng.random(len(pfns)) < 0.5)

    flags = np.where(free, np.uint32(C.flag_free), np.uint32(C.flag_allocated))
    flags[free & movable[pfns]] |= np.uint32(C.flag_movable)
    flags[single] |= np.uint32(C.flag_kernel)
    flags[user] = C.flag_allocated | C.flag_user | C.flag_movable
    refcount = np.full(
        len(pfns), C.refcount_unused, dtype=np.uint32
    )  # free, or taken from the buddy as a block
    refcount[single] = rng.integers(1, 5, np.count_nonzero(single))
    refcount[quarantined] = 0
    guard = np.zeros(len(pfns), dtype=np.uint32)
    guard[quarantined & is_first] = C.guard_poisoned
    flags[quarantined & is_first] |= np.uint32(C.flag_poisoned)
    vtable = np.zeros(len(pfns), dtype=np.uint64)
    vtable[user] = 0xFFFF_FFFF_8010_0040

    rows = slice(None) if len(pfns) == len(slots) else pfns
    for field, column in {
        "flags": flags,
        "order": order,
        "refcount": refcount,
        "guard": guard,
        "vtable": vtable,
        "generation": rng.integers(0, 100, len(pfns), dtype=np.uint32),
        "meta_aux": rng.integers(0, 4, len(pfns), dtype=np.uint32),
    }.items():
        slots[field][rows] = column


def _caches(leaves: Leaves, rng: np.random.Generator) -> NDArray[np.void]:
    pfns = leaves.pfn[leaves.owner == CACHED]
    cached = np.zeros(len(pfns), dtype=CACHED_FRAME)
    cached["pfn"] = rng.permutation(pfns)
    cached["migratetype"] = rng.integers(0, 2, len(pfns))
    cached["cpu"] = rng.integers(0, 8, len(pfns))
    return cached


def _empty_zones(shape: Shape) -> tuple[Zone, ...]:
    edges = [Pfn(edge) for edge in (0, *shape.zone_ends, 2**52 - 1)]
    heads = np.full((2, C.max_order + 1), C.link_none, dtype=np.uint64)
    return tuple(
        Zone(name, first, end, heads.copy(), 0, 0, 0, 0, 0, 0)
        for name, first, end in zip(ZONE_NAMES, edges, edges[1:], strict=False)
    )


def _link_and_count(
    slots: NDArray[np.void],
    zones: tuple[Zone, ...],
    leaves: Leaves,
    movable: NDArray[np.bool_],
    ram: PfnRanges,
    off_limits: PfnRanges,
    rng: np.random.Generator,
) -> tuple[Zone, ...]:
    in_ram = mask_of_ranges(ram, len(slots))
    reserved = in_ram & mask_of_ranges(off_limits, len(slots))
    linked = []
    for zone in zones:
        rows = slice(zone.first_pfn, zone.end_pfn)
        mine = (leaves.pfn >= zone.first_pfn) & (leaves.pfn < zone.end_pfn)
        frames = [int(leaves.sizes[mine & (leaves.owner == owner)].sum()) for owner in range(4)]
        heads = _link(slots, zone, leaves, mine & (leaves.owner == FREE), movable, rng)
        linked.append(
            Zone(
                zone.name,
                zone.first_pfn,
                zone.end_pfn,
                heads,
                managed=int(np.count_nonzero(in_ram[rows])),
                free=frames[FREE],
                cached=frames[CACHED],
                allocated=frames[HELD],
                quarantined=frames[QUARANTINED],
                reserved=int(np.count_nonzero(reserved[rows])),
            )
        )
    return tuple(linked)


def _link(
    slots: NDArray[np.void],
    zone: Zone,
    leaves: Leaves,
    chosen: NDArray[np.bool_],
    movable: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.uint64]:
    """Lists of the chosen blocks in random order; returns the zone's heads."""
    picked = rng.permutation(np.flatnonzero(chosen))
    pfn, order = leaves.pfn[picked], leaves.order[picked]
    number = movable[pfn] * (C.max_order + 1) + order
    by_list = np.argsort(number, kind="stable")
    pfn, number = pfn[by_list], number[by_list]
    paddr = pfn.astype(np.uint64) << np.uint64(12)
    same = number[1:] == number[:-1]
    none = np.uint64(C.link_none)
    slots["next"][pfn[:-1]] = np.where(same, paddr[1:], none)
    slots["prev"][pfn[1:]] = np.where(same, paddr[:-1], none)
    heads = zone.heads.copy()
    first = np.concatenate([np.ones(min(len(pfn), 1), dtype=np.bool_), ~same])
    heads.reshape(-1)[number[first]] = paddr[first]
    return heads


def _frames_of(pfns: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every frame of the blocks."""
    before = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(pfns, sizes) + np.arange(int(sizes.sum())) - before
