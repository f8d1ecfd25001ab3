"""What preflight does with a guest that has a frame module in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, InvariantResult, Violation
from frame_harness.contract.preflight import AddressPromise, Preflight, PreflightMoment
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MISSING_FIELDS, Canary, MemoryState, mask_of_ranges

NEW_SLOTS: Final = "A-NEW-SLOTS"
WATCHED_FRAMES: Final = 1024
"""Of payload; the check of the clause watches all of it."""


class Names(Protocol):
    """What a built kernel says of the names of its module."""

    def has(self, name: str) -> bool: ...


class FreeFrameWatch(Protocol):
    """Remembers what the payload of free frames was."""

    def read(self) -> Canary: ...


class FrameGuest(Protocol):
    """What preflight needs of a guest with a frame module, as `frame_guest.kernel.Kernel` has it.

    `slots` gives the table in RAM, shape (n_frames,).
    """

    @property
    def image(self) -> Names: ...

    def call(self, command: str, *arguments: int | str) -> object: ...

    def slots(self) -> NDArray[Any]: ...

    def state(
        self, canary: Canary | None = None, quarantined: Sequence[Paddr] | None = None
    ) -> MemoryState: ...

    def alloc(self, **builder_calls: Any) -> Paddr: ...

    def release(self, paddr: Paddr, order: int = 0) -> None: ...

    def buddy_alloc(self, order: int, migratetype: str) -> Paddr: ...

    def buddy_free(self, paddr: Paddr, order: int) -> None: ...

    def watch_payload(self, *, limit: int | None = None) -> FreeFrameWatch: ...


def judge_new_slots(guest: FrameGuest) -> InvariantResult:
    """Look for slots that boot left as memory was.

    The slots of frames that nobody may have are as new. Of all others boot writes flags, order, count, links
    alone: two more fields that are not 0 were never initialized (one may be a setter that leaks).
    """
    slots, state = guest.slots(), guest.state()
    later = [name for name in MISSING_FIELDS if name in (slots.dtype.names or ())]
    dirty = sum(((slots[name] != 0).astype(np.uint8) for name in later), np.zeros(len(slots), np.uint8))
    nobodys = mask_of_ranges(state.off_limits, len(slots)) | ~mask_of_ranges(state.ram, len(slots))
    new = (slots["next"] == C.link_none) & (slots["prev"] == C.link_none)
    for name in ("flags", "order", "refcount"):
        new &= slots[name] == 0
    bad = np.flatnonzero((dirty > 1) | nobodys & (~new | (dirty > 0)))
    shown = tuple(
        Violation(NEW_SLOTS, pfn, "slot", "as MetaSlot::new() makes it", slots[pfn].tobytes().hex())
        for pfn in bad[:MAX_COUNTEREXAMPLES].tolist()
    )
    return InvariantResult(NEW_SLOTS, ("ARRAY-03",), len(slots), shown, len(bad))


def _moments(guest: FrameGuest) -> Iterator[PreflightMoment]:
    """A freed frame in quarantine, where a frame can be poisoned; then what two allocations change."""
    sick = guest.alloc()
    poisons = guest.image.has("MetaSlot::mark_poisoned")
    if poisons:
        guest.call("slot.mark_poisoned", sick)
    guest.release(sick)
    guest.release(guest.alloc())
    before, watch = guest.state().copied(), guest.watch_payload(limit=WATCHED_FRAMES)
    guest.alloc(purpose="user")
    guest.buddy_alloc(2, "unmovable")
    yield PreflightMoment(guest.state(canary=watch.read(), quarantined=[sick] if poisons else []), before)


@contextmanager
def _lend(guest: FrameGuest) -> Iterator[Paddr]:
    paddr = guest.buddy_alloc(0, "unmovable")
    yield paddr
    guest.buddy_free(paddr, 0)


PREFLIGHT: Final = Preflight[FrameGuest](
    moments=_moments,
    lend=_lend,
    commands=("array.init", "alloc", "buddy.alloc", "release", "slot.mark_poisoned"),
    address=AddressPromise("A-SLOT-ADDRESS", "array.get", "slot", ("ARRAY-06",), ("ARRAY-06", "ARRAY-10")),
    as_booted=judge_new_slots,
)
