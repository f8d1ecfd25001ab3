"""What slots say of frames, and what free frames hold, from moment to moment of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.guest.reply import Reply
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.held_slots import HeldSlots
from frame_harness.memory_core.judging import CoreViolation, Owned
from frame_harness.memory_core.lists import are_in
from frame_harness.memory_core.maps import rounded_out, without
from frame_harness.memory_core.state import CoreState, FreeBlock, spans_of

PURPOSES: Final = ("kernel", "user", "pagetable")
FEW_SLOTS: Final = 1 << 16
"""Of tables up to this size every free slot is judged after each step; of larger ones those of new blocks."""
MOST_FILLED_BYTES: Final = 4 << 20
"""Free frames are filled where all of them together have at most so many bytes."""
PART_FILLED, MOST_FILLED_PARTS = 16, 512
"""Elsewhere owners fill the first frames of what they have: so many of a block, so many in all."""
_WORDS: Final = PAGE_SIZE // 8
_SPREAD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)  # ours: any odd number with bits all over
_LINKS: Final = ("next", "prev")
_IN_USE: Final = -1
_PIECE: Final = 1 << 12
"""Slots of a large table that are looked at together: they fit into a CPU's cache."""

CorePfns = NDArray[np.int64]
"""Shape (k,): numbers of frames."""


@dataclass(frozen=True)
class SlotWords:
    """What the frame module writes into slots; `movable` is 0 where it has no such flag."""

    unused: int
    free: int
    allocated: int
    kernel: int
    user: int
    movable: int

    @classmethod
    def told_by(cls, reply: Reply) -> SlotWords:
        """The words as the guest tells them."""
        return cls(**{name: reply[name] for name in cls.__dataclass_fields__})

    def flags_of(self, purpose: str) -> int:
        """The flags of a frame that was allocated for a purpose."""
        own = self.user | self.movable if purpose == "user" else self.kernel
        return own | self.allocated


@dataclass(frozen=True)
class Claim:
    """A frame that the frame module gave, and what it was asked for."""

    pfn: Pfn
    purpose: str
    zeroed: bool


class SlotWatch:
    """Knows what slots and free frames have to hold, from the first state of a case on.

    Fields that this version's slots lack are not judged. The slots are a live view of guest RAM.
    """

    def __init__(self, words: SlotWords, slots: NDArray[Any], ram: GuestRam) -> None:
        self._words, self._slots, self._ram = words, slots, ram
        names = slots.dtype.names or ()
        self._fields = tuple(name for name in names if name not in _LINKS and not name.startswith("_"))
        self._few = len(slots) <= FEW_SLOTS
        self._generations = slots["generation"].copy() if "generation" in names else None
        self._claimed: set[Pfn] = set()
        """Frames that the frame module gave."""
        words_of = (name for name in self._fields if slots.dtype[name].kind == "u")
        # Of a small table a generation that changes is a fault of its own (`_judge_lives`).
        apart = {"generation"} if self._few else set()
        self._held_slots = HeldSlots(tuple(name for name in words_of if name not in apart))
        self._filled = np.zeros(len(slots), dtype=np.bool_)
        self._n_filled = 0
        """No fewer than are filled: what else changes in a step is counted at its end."""
        self._ample = True
        self._given_back: CorePfns = np.empty(0, np.int64)
        """Frames that were filled before they were freed in this step: a core may wipe what it takes back."""
        self._judged: frozenset[FreeBlock] = frozenset()
        self.looked_at: set[str] = set()
        """The clauses by which something was judged so far."""
        self._orders = np.full(len(slots) if self._few else 0, _IN_USE, np.int8)
        """Of a small table, by frame the order of the free block that it lies in."""

    # ---- what is known -----------------------------------------------------------------------------------

    def fill(self, state: CoreState) -> None:
        """Fill free frames, where they are few, each with another word; the core's own are left alone."""
        own = rounded_out(spans_of(state.structures))
        spans = [
            span for span in without(state.population(), own) if self._ram.holds(span[0], span[1] - span[0])
        ]
        self._ample = sum(end - first for first, end in spans) > MOST_FILLED_BYTES
        if self._ample:
            return
        for first, end in spans:
            pfns = np.arange(paddr_to_pfn(first), min(paddr_to_pfn(end), len(self._slots)))
            self._payload(first, Paddr(first + len(pfns) * PAGE_SIZE))[:] = _fill_of(pfns)[:, None]
            self._filled[pfns] = True

    def fill_owned(self, blocks: Sequence[Owned]) -> None:
        """Let their owner write to blocks."""
        for block in blocks:
            part = min(block.end, block.pfn + PART_FILLED) if self._ample else block.end
            pfns = np.arange(block.pfn, part)
            first, end = pfn_to_paddr(block.pfn), pfn_to_paddr(Pfn(part))
            if block.end > len(self._slots) or not self._ram.holds(first, end - first):
                pfns = pfns[:0]
            filled = self._filled[pfns]
            if self._ample and self._n_filled + np.count_nonzero(~filled) > MOST_FILLED_PARTS:
                pfns = pfns[filled]
            if pfns.size:  # filled ones, too: the core may have written to them as it gave the block
                self._payload(first, end)[pfns - block.pfn] = _fill_of(pfns)[:, None]
            self._n_filled += pfns.size - int(np.count_nonzero(self._filled[block.pfn : block.end]))
            self._filled[block.pfn : block.end] = False
            self._filled[pfns] = True

    def is_claimed(self, block: Owned) -> bool:
        """Whether the frame module gave this frame."""
        return block.order == 0 and block.pfn in self._claimed

    def released(self, block: Owned) -> None:
        """Its owner gave a block back."""
        self._claimed.discard(block.pfn)
        pfns = np.arange(block.pfn, min(block.end, len(self._slots)))
        self._given_back = np.append(self._given_back, pfns[self._filled[pfns]])

    def was_changed(self, first: Pfn, count: int = 1) -> None:
        """The harness, or an owner, changed the slot of a frame."""
        self._held_slots.was_changed(first, count)

    def forget_lives(self) -> None:
        """Frames were claimed and written to, and nobody knows which."""
        self.forget_bytes()
        self._held_slots.forget()
        if self._generations is not None:
            self._generations = self._slots["generation"].copy()

    def forget_bytes(self) -> None:
        """Frames were written to by those who had them, and nobody knows which."""
        self._filled[:], self._n_filled = False, 0

    # ---- what is wrong -----------------------------------------------------------------------------------

    def judge_claim(self, claim: Claim) -> Iterator[CoreViolation]:
        """What is wrong with the new life of a frame."""
        pfn, row = claim.pfn, self._row(claim.pfn)
        wanted = {
            "flags": self._words.flags_of(claim.purpose),
            "refcount": 1,
            "order": 0,
            "vtable": 0,
            "guard": 0,
        }
        if self._generations is not None:
            wanted["generation"] = (int(self._generations[pfn]) + 1) % 2**32
            self._generations[pfn] = row["generation"]
        self._claimed.add(pfn)
        what = f"the slot of a frame that was allocated for {claim.purpose}"
        for field, value in wanted.items():
            if field in row and row[field] != value:
                got = f"{field} {row[field]:#x}"
                yield CoreViolation("CORE-34", what, f"{field} {value:#x}", got, pfn_to_paddr(pfn), field)
        yield from self._judge_payload(claim)
        self._filled[pfn] = False

    def judge(
        self, state: CoreState, held: Sequence[Owned], sick: Iterable[Pfn] = ()
    ) -> Iterator[CoreViolation]:
        """What is wrong with slots and free frames now.

        Args:
            held: what callers hold.
            sick: frames that were poisoned while they were free: their slots are not judged.
        """
        blocks = frozenset([*state.blocks, *(FreeBlock(pfn, 0, kind, -1) for pfn, kind, _ in state.cached)])
        pieces = [(Pfn(0), self._orders_now(blocks))] if self._few else self._pieces(blocks - self._judged)
        self._judged = blocks
        ignored = frozenset(sick)
        yield from islice(chain.from_iterable(self._judge_free(*one, ignored) for one in pieces), 1)
        yield from self._judge_held(held)
        yield from self._judge_lives()
        yield from self._judge_filled(blocks, held)

    def _orders_now(self, blocks: frozenset[FreeBlock]) -> NDArray[np.int8]:
        """By frame the order of its block: what changed since the last time is written."""
        for block in self._judged - blocks:
            self._orders[block.pfn : block.end] = _IN_USE
        for block in blocks - self._judged:
            self._orders[block.pfn : block.end] = block.order
        limit = len(self._orders)
        if sum(min(one.end, limit) - min(one.pfn, limit) for one in blocks) != self._n_free():
            # Blocks lie in each other: one that went took frames of one that stays.
            self._orders[:] = _IN_USE
            for block in sorted(blocks, key=lambda one: -one.order):
                self._orders[block.pfn : block.end] = block.order
        return self._orders

    def _n_free(self) -> int:
        return int(np.count_nonzero(self._orders != _IN_USE))

    def _pieces(self, blocks: Iterable[FreeBlock]) -> Iterator[tuple[Pfn, NDArray[np.int8]]]:
        """The first frame of some of a block's, or of neighbors of one order, and their orders."""
        first = end = order = 0
        for block in (*sorted(blocks, key=lambda one: one.pfn), None):
            if block is not None and block.pfn == end and block.order == order:
                end = block.end
                continue
            for at in range(first, min(end, len(self._slots)), _PIECE):
                yield Pfn(at), np.full(min(at + _PIECE, end, len(self._slots)) - at, order, np.int8)
            if block is not None:
                first, end, order = block.pfn, block.end, block.order

    def _judge_free(
        self, first: Pfn, orders: NDArray[np.int8], sick: frozenset[Pfn]
    ) -> Iterator[CoreViolation]:
        """The first thing that is wrong with the slots of free frames.

        Args:
            first: frame of which `orders` begins to tell the order of its block.
        """
        words, slots = self._words, self._slots[first : first + len(orders)]
        free = orders != _IN_USE
        free[[pfn - first for pfn in sick if 0 <= pfn - first < len(orders)]] = False
        if not free.any():
            return
        self.looked_at.add("CORE-32")
        marks = np.uint32(words.free | words.allocated)
        wrong: dict[str, Callable[[], NDArray[np.bool_]]] = {
            "refcount": lambda: slots["refcount"] != words.unused,
            "flags": lambda: (slots["flags"] & marks) != words.free,
            "order": lambda: slots["order"] != orders,
            "vtable": lambda: slots["vtable"] != 0,
            "guard": lambda: slots["guard"] != 0,
        }
        for field in (field for field in wrong if field in self._fields):
            bad = wrong[field]() & free
            if bad.any():
                at = int(bad.argmax())
                pfn, order = Pfn(first + at), int(orders[at])
                expected = {
                    "refcount": f"{words.unused:#x}", "flags": "FREE, and not ALLOCATED", "order": str(order)
                }.get(field, "0")  # fmt: skip
                what = f"the slot of a frame of a free block of order {order}"
                got = f"{field} {int(slots[field][at]):#x}"
                yield CoreViolation("CORE-32", what, f"{field} {expected}", got, pfn_to_paddr(pfn), field)
                return

    def _judge_held(self, held: Sequence[Owned]) -> Iterator[CoreViolation]:
        # In ascending order, so that the frames need not be sorted.
        blocks = [FreeBlock(*block, 0, -1) for block in sorted((one.pfn, one.order) for one in held)]
        pfns = _frames_of(blocks, len(self._slots))
        self.looked_at |= {"CORE-33"} if pfns.size else set()
        free = np.flatnonzero(self._slots["flags"][pfns] & self._words.free)
        change = self._held_slots.first_change(self._slots, pfns)
        if free.size:
            pfn = Pfn(int(pfns[free[0]]))
            what, got = (
                "the slot of a frame that a caller holds",
                f"flags {int(self._slots['flags'][pfn]):#x}",
            )
            yield CoreViolation("CORE-33", what, "not FREE", got, pfn_to_paddr(pfn), "free")
            return
        if change is not None:
            pfn, field, before, now = change
            what = "the slot of a frame that is in use"
            expected, got = f"{field} {before:#x}, as before", f"{field} {now:#x}"
            yield CoreViolation("CORE-33", what, expected, got, pfn_to_paddr(pfn), field)

    def _judge_lives(self) -> Iterator[CoreViolation]:
        if self._generations is None or not self._few:
            return
        self.looked_at.add("CORE-35")
        now = self._slots["generation"]
        changed = np.flatnonzero(now != self._generations)
        if changed.size:
            pfn = Pfn(int(changed[0]))
            expected, got = f"{int(self._generations[pfn]):#x}", f"{int(now[pfn]):#x}"
            what = "the generation of a frame that nobody claimed in this step"
            self._generations = now.copy()
            yield CoreViolation("CORE-35", what, expected, got, pfn_to_paddr(pfn))

    def _judge_filled(self, blocks: Iterable[FreeBlock], held: Sequence[Owned]) -> Iterator[CoreViolation]:
        back, self._given_back = self._given_back, self._given_back[:0]
        pfns = np.flatnonzero(self._filled)
        self._n_filled = pfns.size
        if not pfns.size:
            return
        is_free = self._orders[pfns] != _IN_USE if self._few else are_in(blocks, pfns)
        free = frozenset(pfns[is_free].tolist())
        self._filled[pfns[~is_free & ~are_in(held, pfns)]] = False
        self._forget_wiped(back[self._filled[back]])
        self.looked_at |= {"CORE-36"} if free else set()
        pfns = pfns[self._filled[pfns]]
        self._n_filled = pfns.size
        for run in np.split(pfns, self._ends_of_pieces(pfns)):
            if run.size and (found := self._first_wrong(run)) is not None:
                paddr, expected, got = found
                clause, whose, cause = "CORE-36", "is free all the time", ""
                if paddr_to_pfn(paddr) not in free:
                    clause, whose, cause = "CORE-14", "a caller has", "bytes"
                what = f"8 bytes of a frame that {whose}"
                yield CoreViolation(clause, what, f"{expected:#018x}", f"{got:#018x}", paddr, cause)
                return

    def _forget_wiped(self, back: CorePfns) -> None:
        """Forget frames that came back in this step and hold one word all over: the core wiped them."""
        for pfn, fill in zip(back.tolist(), _fill_of(back).tolist(), strict=True):
            paddr = pfn_to_paddr(Pfn(pfn))
            words = self._payload(paddr, Paddr(paddr + PAGE_SIZE))[0]
            self._filled[pfn] = bool((words != words[0]).any() or words[0] == fill)

    def _ends_of_pieces(self, pfns: CorePfns) -> CorePfns:
        """Where frames are to be cut so that each part lies in one piece of RAM, with whatever is between."""
        if not pfns.size or self._ram.holds(
            pfn_to_paddr(Pfn(int(pfns[0]))), int(pfns[-1] + 1 - pfns[0]) * PAGE_SIZE
        ):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.diff(pfns) > 1) + 1

    def _first_wrong(self, pfns: CorePfns) -> tuple[Paddr, int, int] | None:
        """Where the first word lies that a frame was not filled with, that word, what is there.

        Args:
            pfns: frames in ascending order in one piece of RAM.
        """
        first = Pfn(int(pfns[0]))
        words = self._payload(pfn_to_paddr(first), pfn_to_paddr(Pfn(int(pfns[-1] + 1))))
        fills = _fill_of(pfns)
        cuts = (0, *(np.flatnonzero(np.diff(pfns) > 1) + 1).tolist(), len(pfns))
        for start, end in pairwise(cuts):
            row = int(pfns[start]) - first
            wrong = words[row : row + end - start] != fills[start:end, None]
            if wrong.any():
                at, word = (int(found[0]) for found in np.nonzero(wrong))
                paddr = Paddr(pfn_to_paddr(Pfn(int(pfns[start]) + at)) + word * 8)
                return paddr, int(fills[start + at]), int(words[row + at, word])
        return None

    def _judge_payload(self, claim: Claim) -> Iterator[CoreViolation]:
        paddr = pfn_to_paddr(claim.pfn)
        payload = self._payload(paddr, Paddr(paddr + PAGE_SIZE))[0]
        if claim.zeroed or claim.purpose == "pagetable":
            wrong, expected = payload != 0, "0 in each byte"
        elif self._filled[claim.pfn]:
            wrong, expected = payload != _fill_of(np.array([claim.pfn]))[0], "what it held while it was free"
        else:
            return
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            what = f"the bytes of a frame that was allocated for {claim.purpose}"
            yield CoreViolation(
                "CORE-34",
                what,
                expected,
                f"{int(payload[at]):#018x} at {paddr + at * 8:#x}",
                paddr,
                "payload",
            )

    # ---- RAM ---------------------------------------------------------------------------------------------

    def _row(self, pfn: Pfn) -> dict[str, int]:
        slot = self._slots[pfn]
        return {name: int(slot[name]) for name in self._fields if slot.dtype[name].kind == "u"}

    def _payload(self, first: Paddr, end: Paddr) -> NDArray[np.uint64]:
        """Words of RAM, a row for each frame or for less than one."""
        words: NDArray[np.uint64] = self._ram.view(first, end - first).view("<u8")
        return words.reshape(-1, min(_WORDS, len(words)))


def _frames_of(blocks: Iterable[FreeBlock], limit: int) -> CorePfns:
    """Every frame below `limit` of some blocks."""
    pairs = np.array([(block.pfn, block.order) for block in blocks], dtype=np.int64).reshape(-1, 2)
    counts = 1 << pairs[:, 1]
    before = np.cumsum(counts) - counts
    pfns: CorePfns = np.repeat(pairs[:, 0] - before, counts) + np.arange(counts.sum())
    return pfns[pfns < limit]


def _fill_of(pfns: CorePfns) -> NDArray[np.uint64]:
    """The word that fills each frame: another one for each, never 0."""
    return (pfns.astype(np.uint64) + np.uint64(1)) * _SPREAD
