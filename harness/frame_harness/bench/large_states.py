"""Fragmented memory of any size, tiled from a small one that the reference model has lived in."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SHIFT, Paddr, Pfn, paddr_to_pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MemoryState, Migratetype, Zone, pfn_ranges
from frame_harness.frame_metadata.model import Done, ExpectedTable, booted_model, expected_state

TILE_FRAMES = 1 << 15
"""A multiple of two 8 MiB blocks, so that migratetypes repeat from tile to tile."""
ONE_ZONE = (("dma", Pfn(0), Pfn(0)), ("normal", Pfn(0), Pfn(0)), ("highmem", Pfn(0), Pfn(1 << 52)))
LARGEST_TAKEN = 4
KEPT = 0.5


def tiled_state(n_frames: int, dtype: np.dtype[np.void]) -> MemoryState:
    """A healthy state of so many frames, a multiple of `TILE_FRAMES`; half of them free, in small blocks.

    Args:
        dtype: of a slot, from an ELF file.
    """
    tile = _tile(dtype)
    n_tiles = n_frames // TILE_FRAMES
    slots = np.tile(tile.slots, n_tiles)
    heads = _chain(slots, tile, n_tiles)
    zone = tile.zones[-1]
    counters = {
        name: getattr(zone, name) * n_tiles
        for name in ("managed", "free", "cached", "allocated", "quarantined", "reserved")
    }
    whole = Zone(zone.name, Pfn(0), Pfn(n_frames), heads, **counters)
    ram = pfn_ranges([(Pfn(0), Pfn(n_frames))])
    return MemoryState(slots, (whole,), tile.cached, ram, pfn_ranges([]))


@lru_cache(maxsize=1)
def _tile(dtype: np.dtype[np.void]) -> MemoryState:
    """Everything taken in small blocks, some of them given back, the caches drained."""
    frames = [range(TILE_FRAMES)]
    model = booted_model(TILE_FRAMES, frames, frames, zones=ONE_ZONE)
    rng = random.Random(1)
    held: list[tuple[Paddr, int]] = []
    for order in (rng.randrange(LARGEST_TAKEN + 1) for _ in range(TILE_FRAMES)):
        outcome = model.buddy_alloc(order, rng.choice(list(Migratetype)))
        if not isinstance(outcome, Done):
            break
        held.append((Paddr(outcome.values["paddr"]), order))
    for paddr, order in held:
        if rng.random() > KEPT:
            model.buddy_free(paddr, order)
    model.drain()
    ram = pfn_ranges([(Pfn(0), Pfn(TILE_FRAMES))])
    return expected_state(model, ExpectedTable(model, dtype), ram, pfn_ranges([]))


def _chain(slots: NDArray[np.void], tile: MemoryState, n_tiles: int) -> NDArray[np.uint64]:
    """Move every tile's links to where the tile lies, then tie its lists to those of the next tile."""
    shift = np.repeat(np.arange(n_tiles, dtype=np.uint64), TILE_FRAMES) * np.uint64(TILE_FRAMES << PAGE_SHIFT)
    for field in ("next", "prev"):
        links = slots[field]
        links[...] = np.where(links == np.uint64(C.link_none), links, links + shift)
    tiles = np.arange(n_tiles)
    for head in map(Paddr, tile.zones[-1].heads.ravel().tolist()):
        if head == C.link_none:
            continue
        last = head
        while (behind := Paddr(int(tile.slots["next"][paddr_to_pfn(last)]))) != C.link_none:
            last = behind
        heads = (tiles * TILE_FRAMES) + paddr_to_pfn(head)
        tails = (tiles * TILE_FRAMES) + paddr_to_pfn(last)
        slots["next"][tails[:-1]] = heads[1:].astype(np.uint64) << np.uint64(PAGE_SHIFT)
        slots["prev"][heads[1:]] = tails[:-1].astype(np.uint64) << np.uint64(PAGE_SHIFT)
    return tile.zones[-1].heads.copy()
