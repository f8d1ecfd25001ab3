"""A booted guest with a frame module in it: what a test holds in its hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from frame_harness.base.units import Paddr, Pfn, Vaddr
from frame_harness.frame_guest import values as guest_values
from frame_harness.frame_guest.canary import PayloadWatch
from frame_harness.frame_guest.memory_view import memory_state
from frame_harness.frame_guest.slot import Slot
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Canary, MemoryState
from frame_harness.guest.boot_options import Boots
from frame_harness.guest.booted import WITNESS
from frame_harness.guest.programmed import ProgrammedGuest
from frame_harness.guest.reply import Reply

_BUDDY: Final = "BuddyState"


class Boot(Boots["Kernel"], Protocol):
    """Starts guests of the run under test; they end with the test."""


class Kernel(ProgrammedGuest):
    """A guest at its prompt, with the frame module's functions and the tables that they keep.

    Requests, memory and the end of a guest are those of every `BootedGuest`. Every array is a live view of
    guest RAM: no copy, writable, valid also after the guest's death.
    """

    RECORDS: ClassVar = (WITNESS, _BUDDY)
    """The types of what is read in the RAM of each guest, beside its slots."""

    # The subject

    def alloc(self, *, default: bool = False, **builder_calls: Any) -> Paddr:
        """Allocate through `FrameAllocOptions`; the builder is called in the order of the keywords.

        `alloc(purpose="pagetable", zeroed=False)` is `new().purpose(PageTable).zeroed(false).allocate()`.
        Returns the frame's physical address.
        """
        steps = [f"{name}={int(v) if isinstance(v, bool) else v}" for name, v in builder_calls.items()]
        reply = self.call("alloc", "default" if default else "new", *steps)
        by = self.image.subject.contract.functions.allocates
        return guest_values.block_handed_out(self, Paddr(reply["paddr"]), by=by)

    def release(self, paddr: Paddr, order: int = 0) -> None:
        """Give a block back the way the kernel does: hooks, then the buddy."""
        self.call("release", paddr, order)

    def buddy_alloc(self, order: int, migratetype: str) -> Paddr:
        """Take a block from the buddy without claiming it; returns its physical address."""
        reply = self.call("buddy.alloc", order, migratetype)
        return guest_values.block_handed_out(self, Paddr(reply["paddr"]), order)

    def buddy_free(self, paddr: Paddr, order: int) -> None:
        """Give a block to the buddy without the frame module: no hooks are called."""
        self.call("buddy.free", paddr, order)

    def offer(self, paddr: Paddr) -> None:
        """Make the buddy hand out exactly this frame next, whatever its state."""
        self.inject("buddy.next", paddr)

    def inject(self, fault: str, *arguments: int | str) -> None:
        """Arm a fault of the shim: `buddy.refuse n`, `buddy.nostamp n`, `boot.refuse`, `boot.misalign n`."""
        self.call(f"inject {fault}", *arguments)

    def slot(self, paddr: Paddr) -> Slot:
        """The slot of a frame, through the subject's own methods."""
        return Slot(self, paddr)

    def slot_vaddr(self, paddr: Paddr) -> Vaddr:
        """Where `get_meta` says the slot of an address is."""
        return Vaddr(self.call("array.get", paddr)["slot"])

    def vtable(self, name: str) -> Vaddr:
        """The address of one of the shim's recording vtables: `both`, `unmap`, `lastref` or `empty`."""
        return Vaddr(self.call("vt.addr", name)["addr"])

    def stats(self) -> Reply:
        """The buddy's counters over all zones, in frames."""
        return self.call("stats")

    # What the tables say

    def state(self, canary: Canary | None = None, quarantined: Sequence[Paddr] | None = None) -> MemoryState:
        """The whole memory bookkeeping, for invariants; the slot table in it stays live.

        Args:
            quarantined: addresses of all frames that must be in quarantine, where the caller knows.
        """
        return memory_state(self, canary, quarantined)

    def watch_payload(self, *, limit: int | None = None) -> PayloadWatch:
        """Remember what all frames hold that are free now, or the last `limit` of them."""
        return PayloadWatch(self, limit=limit)

    def buddy(self) -> Any:
        """The buddy's own state (`BuddyState`), live in guest RAM."""
        return self.record(self.witness.buddy_vaddr, _BUDDY)

    def cached_frames(self) -> set[Paddr]:
        """Physical addresses of the frames in the CPU caches."""
        return guest_values.cached_frames(self)

    def free_blocks(self) -> set[tuple[Pfn, int, str]]:
        """Every block on a free list as (first pfn, order, migratetype), read by walking the links in RAM."""
        return guest_values.free_blocks(self)

    def live_frames(self) -> set[Pfn]:
        """Numbers of the frames with a reference count that says they are in use."""
        counts = self.slots()["refcount"]
        allocated = (self.slots()["flags"] & C.flag_allocated) != 0
        return set(
            map(Pfn, np.flatnonzero(allocated & (counts >= 1) & (counts < C.refcount_unused)).tolist())
        )

    def generation_changes(self, action: Callable[[], object]) -> set[Pfn]:
        """Numbers of the frames whose generation an action changed: those that began a new life."""
        before = self.slots()["generation"].copy()
        action()
        return set(map(Pfn, np.flatnonzero(self.slots()["generation"] != before).tolist()))
