"""A guest's life from boot through exhaustion to full lists again, each step held against the slots."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_guest.canary import PayloadWatch
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.whole_memory import WatchedMemory
from frame_harness.frame_metadata.constants import C
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import AllocFailed

FREE = C.flag_free
MAX_ORDER = C.max_order
STEPS = 160
LOOK_EVERY = 80
PURPOSES = ("kernel", "user", "custom:0x1", "custom:0x2000")
HOOKS = ("both", "unmap", "lastref", "empty")
# RAM up to here is watched as a whole; of more, what a few frames hold has to do.
WATCHED_FRAMES = 1 << 14


@dataclass
class Scenario:
    """One guest, driven by what a well-behaved kernel may do: each block is freed once, by its holder."""

    watched: WatchedMemory
    seed: int
    held: dict[Paddr, int] = field(default_factory=dict)
    """Order of each block that is held, by its address."""

    def __post_init__(self) -> None:
        self.kernel: Kernel = self.watched.kernel
        self.rng = random.Random(self.seed)
        self._owned = np.zeros(self.kernel.frames, dtype=np.bool_)
        self._flags = self.kernel.slots()["flags"].copy()

    def live(self) -> WatchedMemory:
        """Go through the whole life; returns what was seen of it."""
        self._watch_payload()
        self.watched.look("after boot")
        for step in range(1, STEPS + 1):
            self.step()
            if step % LOOK_EVERY == 0:
                self.watched.look(f"after {step} steps")
        self.exhaust()
        self.watched.look("after exhaustion")
        self.dirty()
        self.refill()
        self.watched.look("after refill")
        self.kernel.call("buddy.drain")
        self.watched.look("after refill, caches drained")
        return self.watched

    def _watch_payload(self) -> None:
        limit = WATCHED_FRAMES if self.kernel.frames > WATCHED_FRAMES else None
        self.watched.payload = PayloadWatch(self.kernel, limit=limit)

    # ---- steps -------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One thing that a kernel does; no payload is written by it, nor by the frame module."""
        what = self.rng.random()
        if what < 0.40 or not self.held:
            self._take(0, purpose=self.rng.choice(PURPOSES))
        elif what < 0.55:
            self._take(self.rng.randrange(8))
        elif what < 0.60:
            self.kernel.call("buddy.drain")
        elif what < 0.70:
            self._use(self.rng.choice(list(self.held)))
        else:
            poisoned = what < 0.74 and self.kernel.image.has("MetaSlot::mark_poisoned")
            self._give_back(self.rng.choice(list(self.held)), poisoned=poisoned)

    def _take(self, order: int, purpose: str = "") -> bool:
        """Take a block, by a claim when it is for a purpose; false when memory is out."""
        kernel, before = self.kernel, self._flags
        before[:] = kernel.slots()["flags"]
        try:
            if purpose:
                paddr = kernel.alloc(purpose=purpose, zeroed=False)
            else:
                paddr = kernel.buddy_alloc(order, self.rng.choice(["movable", "unmovable"]))
        except AllocFailed:
            return False
        pfns = np.arange(1 << order) + paddr_to_pfn(paddr)
        pfns = pfns[pfns < len(before)]
        self._judge_choice(paddr, pfns, (before[pfns] & FREE) != 0)
        self._owned[pfns] = True
        self.held[paddr] = order
        return True

    def _judge_choice(self, paddr: Paddr, pfns: NDArray[np.int64], were_free: NDArray[np.bool_]) -> None:
        """ALLOC-14 at the very moment: free before, nobody's, whole."""
        for wrong, said in (
            (len(pfns) == 0, "outside the slot table"),
            (bool(self._owned[pfns].any()), "held by another allocation"),
            (not were_free.all(), "not free before"),
        ):
            if wrong:
                self.watched.problems.setdefault(
                    "ALLOC-14",
                    ClauseViolated("frame handed out", expected="a free frame", got=said, frame=paddr),
                )

    def _use(self, paddr: Paddr) -> None:
        slot = self.kernel.slot(paddr)
        if self.held[paddr] == 0 and slot.get_refcount() == 1:
            slot.inc_ref()
            if self.kernel.image.has("MetaSlot::set_vtable_bits"):
                slot.set_vtable_bits(self.kernel.vtable(self.rng.choice(HOOKS)))
            slot.dec_ref()

    def _give_back(self, paddr: Paddr, *, poisoned: bool = False) -> None:
        order = self.held.pop(paddr)
        if poisoned:
            frames = [pfn_to_paddr(pfn) for pfn in frames_from(paddr_to_pfn(paddr), 1 << order)]
            self.kernel.slot(frames[self.rng.randrange(1 << order)]).mark_poisoned()
            self.watched.quarantined += frames
        self._owned[paddr_to_pfn(paddr) + np.arange(1 << order)] = False
        self.kernel.release(paddr, order)

    # ---- all of memory -----------------------------------------------------------------------------------

    def exhaust(self) -> None:
        """Take blocks, the largest as long as there are any, then single frames until memory is out."""
        for order in range(MAX_ORDER, 0, -1):
            while self._take(order):
                if self.rng.random() < 0.1:
                    self._take(self.rng.randrange(order), "")
        taken = self._frames_taken_by(lambda: self.kernel.call("alloc.all", "new", "zeroed=0"))
        doubly = sorted(pfn for pfn in taken if self._owned[pfn])
        if doubly:
            self.watched.problems.setdefault(
                "ALLOC-14",
                ClauseViolated(
                    "frame handed out", expected="a free frame", got="held by another allocation",
                    frame=pfn_to_paddr(doubly[0]),
                ),
            )  # fmt: skip
        self._owned[list(taken)] = True
        self.held |= {pfn_to_paddr(pfn): 0 for pfn in taken}

    def _frames_taken_by(self, action: Callable[[], object]) -> set[Pfn]:
        """Numbers of the frames that began a new life, by generation, or by count in older versions."""
        if self.kernel.image.has("MetaSlot.generation"):
            return self.kernel.generation_changes(action)
        before = self.kernel.slots()["refcount"].copy()
        action()
        began = np.flatnonzero((self.kernel.slots()["refcount"] == 1) & (before != 1))
        return set(map(Pfn, began.tolist()))

    def dirty(self) -> None:
        """Every holder fills his frames; from now on that is what they must hold."""
        payload = self.watched.payload
        if payload is None:
            return
        for pfn in payload.pfns[self._owned[payload.pfns]].tolist():
            self.kernel.payload(pfn_to_paddr(pfn))[:] = self.rng.randrange(1, 256)
        payload.renew()

    def refill(self) -> None:
        """Everything that is held goes back, in no order."""
        blocks = list(self.held.items())
        self.rng.shuffle(blocks)
        self.held.clear()
        self._owned[:] = False
        self.kernel.batch([f"release {paddr:#x} {order}" for paddr, order in blocks])
