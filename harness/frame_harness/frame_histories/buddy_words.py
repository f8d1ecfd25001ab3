"""Compares the buddy's own state, where the host reads it in RAM, with the model's."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from frame_harness.base.text import plural
from frame_harness.base.units import Paddr, Pfn, pfn_to_paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.differences import HistoryDifference
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model import Model

COUNTERS = ("free", "cached", "allocated", "quarantined")
_OF_KEPT = {"allocated": 1, "quarantined": -1}


class BuddyWords:
    """Live views of a guest's counters, list heads and CPU caches."""

    def __init__(self, kernel: Kernel) -> None:
        state = kernel.image.dtype("BuddyState")
        vaddr = kernel.witness.buddy_vaddr
        record = kernel.bytes_at(vaddr, state.itemsize).view(state)
        zones = record["zones"][0]
        self._counters = {name: zones[name] for name in COUNTERS}
        self._heads = zones["heads"]
        self._lengths = record["caches"][0]["len"]
        self._cached = record["caches"][0]["frames"]
        self._expected_heads = np.empty_like(self._heads)

    def compare(
        self, model: Model, kept: Collection[Pfn] = (), met: Collection[Pfn] = ()
    ) -> HistoryDifference | None:
        """The first word that is not as predicted.

        Args:
            kept: frames that are handed out still, where the model has them in quarantine.
            met: those of which each may be either; the guest's own count says how many are kept.
        """
        return (
            self._compare_counters(model, {*kept}, {*kept, *met})
            or self._compare_heads(model)
            or self._compare_caches(model)
        )

    def _compare_counters(self, model: Model, least: set[Pfn], most: set[Pfn]) -> HistoryDifference | None:
        zones = model.buddy.zones
        bounds = [
            [sum(model.buddy.zone_of(pfn) is zone for pfn in kept) for kept in (least, most)]
            for zone in zones
        ]
        in_quarantine = self._counters["quarantined"].tolist()
        n_kept = [
            min(max(zone.quarantined - got, low), high)
            for zone, got, (low, high) in zip(zones, in_quarantine, bounds, strict=True)
        ]
        for name, found in self._counters.items():
            for zone, kept, got in zip(zones, n_kept, found.tolist(), strict=True):
                expected = getattr(zone, name) + kept * _OF_KEPT.get(name, 0)
                if expected != got:
                    return HistoryDifference("counter", f"zone {zone.name} {name}", str(expected), str(got))
        return None

    def _compare_heads(self, model: Model) -> HistoryDifference | None:
        expected = self._expected_heads
        expected.fill(C.link_none)
        for index, zone in enumerate(model.buddy.zones):
            for (migratetype, order), head in zone.heads.items():
                expected[index, migratetype, order] = head
        if np.array_equal(expected, self._heads):
            return None
        at = tuple(np.argwhere(expected != self._heads)[0].tolist())
        where = f"head of zone {model.buddy.zones[at[0]].name} migratetype {at[1]} order {at[2]}"
        return HistoryDifference("list", where, f"{int(expected[at]):#x}", f"{int(self._heads[at]):#x}")

    def _compare_caches(self, model: Model) -> HistoryDifference | None:
        for (cpu, migratetype), frames in model.buddy.caches.items():
            length = int(self._lengths[cpu, migratetype])
            if not frames and not length:
                continue
            expected = [pfn_to_paddr(pfn) for pfn in frames]
            got = self._cached[cpu, migratetype, :length].tolist()
            if got != expected:
                where = f"cache of cpu {cpu} migratetype {int(migratetype)}"
                return HistoryDifference("cache", where, _shown(expected), _shown(got))
        return None


def _shown(paddrs: list[Paddr]) -> str:
    """The frames that leave a cache next, and how many there are."""
    return f"{plural(len(paddrs), 'frame')}, next " + (
        ", ".join(f"{paddr:#x}" for paddr in paddrs[:-4:-1]) or "none"
    )
