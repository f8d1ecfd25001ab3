"""The built-in allocators with a frame module, as a memory core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn, Vaddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.placed import MEMORY_IN_SHIM
from frame_harness.image.subject import Subject
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.memory_core.design import Design
from frame_harness.memory_core.functions import ALLOC_ZONE, START
from frame_harness.memory_core.lists import NO_LINK, Head, slot_type, walked
from frame_harness.memory_core.maps import Span
from frame_harness.memory_core.state import CoreState, LeftOut, Segment, Structure, ZoneCounters

WITHOUT_OWNERSHIP: Final = "owners of blocks"
"""What this core does not have of a kernel's."""
BUILTIN_CORE: Final = replace(
    FRAME_METADATA, name=MEMORY_CORE.name, clauses=MEMORY_CORE.clauses, functions=MEMORY_CORE.functions,
    table=MEMORY_CORE.table, layouts=MEMORY_CORE.layouts,
)  # fmt: skip


def builtin_core(path: Path | None = None) -> Subject:
    """The built-in allocators with the frame module in a file, or with the built-in one.

    Raises:
        SubjectError: there is no such file, it may not be read, or no Rust source can name it.
    """
    return Subject.from_file(path, BUILTIN_CORE) if path else Subject.builtin(BUILTIN_CORE)


class BuiltinReader:
    """Knows where an image keeps the state of the built-in allocators; reads it as often as asked."""

    unjudged: tuple[LeftOut, ...] = ()

    def __init__(self, guest: BootedGuest) -> None:
        """Look up every name once.

        Raises:
            ImageError: the frame module's slots have another name.
        """
        self._guest, image = guest, guest.image
        self._slot = slot_type(image)
        self._state, self._ranges = image.dtype("state::BuddyState"), image.dtype("FrameRanges")
        self._places = guest.static("CORE_PLACES", "builtin_core::Places")
        self._table = [
            image.static(f"{MEMORY_IN_SHIM}::slot_table::{name}")[0] for name in ("BASE", "FRAMES")
        ]

    def read(self, structures: tuple[Structure, ...] | None = None) -> CoreState:
        """The state as it is now; the guest must stand at its prompt.

        Args:
            structures: as an earlier state of the same start has them: they never move.
        Raises:
            RamError: an address that the core remembers leads out of RAM.
        """
        at = Vaddr(int(self._places["state"]))
        state = self._guest.bytes_at(at, self._state.itemsize).view(self._state)[0]
        zones = state["zones"]
        blocks, faults = walked(_heads(zones["heads"]), self.slots())
        return CoreState(
            segments=tuple(
                Segment(at, Pfn(int(zone["first_pfn"])), Pfn(int(zone["end_pfn"])), holes=True)
                for at, zone in enumerate(zones)
            ),
            blocks=tuple(blocks),
            faults=tuple(faults),
            cached=tuple(_cached(state["caches"])),
            zones=tuple(
                ZoneCounters(
                    managed=int(zone["managed"] - zone["reserved"]),
                    # It does not count frames in caches as allocated.
                    allocated=int(zone["allocated"] + zone["cached"]),
                    cached=int(zone["cached"]),
                    free=int(zone["free"]),
                )
                for zone in zones
            ),
            structures=tuple(self._structures()) if structures is None else structures,
            max_order=zones["heads"].shape[-1] - 1,
            quarantined=int(zones["quarantined"].sum()),
        )

    def slots(self) -> NDArray[Any]:
        """The slots in RAM, shape (n_frames,), no copy; shape (0,) before there is a table."""
        base, count = (int(self._guest.bytes_at(at, 8).view("<u8")[0]) for at in self._table)
        if not base or not count:
            return np.empty(0, self._slot)
        return self._guest.bytes_at(Vaddr(base), count * self._slot.itemsize).view(self._slot)

    def locked(self) -> tuple[str, ...]:
        """None: these allocators have no locks of the shim's that are known by name."""
        return ()

    def _structures(self) -> Iterator[Structure]:
        """What the frame module took from the boot allocator, and the slots, which have to lie in there."""
        at = Vaddr(int(self._places["taken"]))
        taken = self._guest.bytes_at(at, self._ranges.itemsize).view(self._ranges)[0]
        spans: list[Span] = [
            (pfn_to_paddr(Pfn(int(one["__0"]))), pfn_to_paddr(Pfn(int(one["__1"]))))
            for one in taken["ranges"][: int(taken["len"])]
        ]
        yield from (Structure("memory of the boot allocator", span) for span in spans)
        slots = self.slots()
        if len(slots):
            base = int(self._guest.bytes_at(self._table[0], 8).view("<u8")[0])
            first = Paddr(base - self._guest.hhdm)
            within = next((one for one in spans if one[0] <= first < one[1]), None)
            yield Structure("slot table", (first, Paddr(first + slots.nbytes)), within)


def _heads(heads: NDArray[Any]) -> Iterator[Head]:
    """Each list that is not empty; the zone stands for the segment."""
    for zone, kind, order in np.argwhere(~np.isin(heads, np.array(NO_LINK, np.uint64))).tolist():
        yield zone, kind, order, Paddr(int(heads[zone, kind, order]))


def _cached(caches: NDArray[Any]) -> Iterator[tuple[Pfn, int, int]]:
    for cpu, kind in np.argwhere(caches["len"]).tolist():
        cache = caches[cpu, kind]
        yield from (
            (paddr_to_pfn(Paddr(paddr)), kind, cpu) for paddr in cache["frames"][: int(cache["len"])].tolist()
        )


BUILTIN: Final = Design(
    BuiltinReader,
    within=("::memory::", "shim_parts::buddy::", "shim_parts::boot_frames::"),
    functions={START: "builtin_core::start", ALLOC_ZONE: "Buddy::alloc_in"},
)
