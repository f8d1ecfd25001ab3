"""A made-up memory state as the rows that a corruption edits, and as the state that invariants judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from frame_harness.base.units import Paddr, Pfn
from frame_harness.frame_histories.corruptions import ORDER, CorruptionScene, middle_of
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.memory_state import (
    Canary,
    MemoryState,
    Zone,
    cached_frames,
    digest_frames,
)
from tests.support.synthetic import SMALL, healthy_state

N_CPUS, MOST_CACHED = 8, 512
COUNTERS = ("managed", "free", "cached", "allocated", "quarantined", "reserved")
ZONE = np.dtype(
    [("first_pfn", "<u8"), ("end_pfn", "<u8"), ("heads", "<u8", (2, C.max_order + 1))]
    + [(counter, "<u8") for counter in COUNTERS]
)
CACHE = np.dtype([("len", "<u8"), ("frames", "<u8", (MOST_CACHED,))])


@cache
def healthy() -> tuple[MemoryState, Past]:
    """Never written to: a scene is made of copies."""
    state = healthy_state(SMALL)
    state.slots["flags"][frames_of(state)["quarantined"]] |= C.flag_kernel  # it was claimed before
    free = np.flatnonzero(state.slots["flags"] & C.flag_free)
    pfns = np.sort(np.append(free[:2], frames_of(state)["listed"]))
    digests = digest_frames(np.repeat(pages(), len(pfns), axis=0))
    state = replace(state, canary=Canary(pfns, digests, digests))
    return state, INVARIANTS.check_all(state).past


def pages() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """What each frame with a canary holds."""
    return np.arange(C.page_size, dtype=np.uint32).astype(np.uint8).reshape(1, -1)


def frames_of(state: MemoryState) -> dict[str, Pfn]:
    """One frame of each kind that a corruption names."""
    slots, heads = state.slots, state.zones[1].heads[:, ORDER]
    head, elsewhere = (int(head) >> 12 for head in heads)
    listed = middle_of(slots, Paddr(int(heads[0]))) >> 12
    single = slots["order"] == 0
    # No free buddy, with which a frame would have to be merged once it is free.
    alone = single & (slots["flags"][np.arange(len(slots)) ^ 1] & C.flag_free == 0)
    claimed = slots["flags"] & C.flag_kernel != 0
    sick = slots["guard"] == C.guard_poisoned
    cached = state.cached["pfn"].astype(np.int64)
    found = {
        "head": head, "listed": listed, "inside": listed + 3, "last": listed + (1 << ORDER) - 1,
        "elsewhere": elsewhere, "cached": int(cached[alone[cached]][0]),
        "held": int(np.flatnonzero(claimed & alone & ~sick)[0]),
        "quarantined": int(np.flatnonzero(sick & single)[0]),
        "hole": int(state.ram[0, 1]) + 1, "reserved": int(state.off_limits[1, 0]) + 7,
    }  # fmt: skip
    return {name: Pfn(pfn) for name, pfn in found.items()}


@dataclass(frozen=True)
class MadeUp(CorruptionScene):
    """The rows of a made-up state, private."""

    state: MemoryState

    @classmethod
    def fresh(cls) -> MadeUp:
        """A healthy one, to corrupt."""
        state = healthy()[0].copied()
        zones = np.zeros(len(state.zones), ZONE)
        for row, zone in zip(zones, state.zones, strict=True):
            for name in ZONE.names or ():
                row[name] = getattr(zone, name)
        caches = np.zeros((N_CPUS, 2), CACHE)
        pfns = frames_of(state)
        # The chosen one is entered last: it leaves its cache first.
        for pfn, migratetype, cpu in sorted(
            state.cached.tolist(), key=lambda each: each[0] == pfns["cached"]
        ):
            cache = caches[cpu, migratetype]
            cache["frames"][int(cache["len"])] = pfn << 12
            cache["len"] += 1
        return cls(state.slots, zones, caches, pages()[0], pfns, state)

    def judged(self) -> MemoryState:
        """The state that the rows are by now."""
        canary = self.state.canary
        assert canary is not None
        found = canary.found.copy()
        found[canary.pfns == self.pfns["listed"]] = digest_frames(self.payload.reshape(1, -1))
        entries = [
            (paddr >> 12, migratetype, cpu)
            for (cpu, migratetype), cache in np.ndenumerate(self.caches)
            for paddr in cache["frames"][: int(cache["len"])].tolist()
        ]
        zones = [
            Zone(
                zone.name,
                heads=row["heads"].copy(),
                first_pfn=Pfn(int(row["first_pfn"])),
                end_pfn=Pfn(int(row["end_pfn"])),
                **{name: int(row[name]) for name in COUNTERS},
            )
            for zone, row in zip(self.state.zones, self.zones, strict=True)
        ]
        cached = cached_frames(entries)
        return replace(self.state, zones=tuple(zones), cached=cached, canary=replace(canary, found=found))
