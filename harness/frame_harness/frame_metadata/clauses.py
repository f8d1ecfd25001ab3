"""The clauses of the contract: stable id, kind, words."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from frame_harness.base.errors import UsageError


class UnknownClauseError(UsageError):
    """An id that the contract does not have; the text names the nearest one that it has."""


class ClauseKind(StrEnum):
    """What sort of evidence settles a clause; the value is the contract's letter."""

    LAYOUT = "L"
    FUNCTIONAL = "F"
    PANIC = "P"
    PARALLEL = "S"
    ORDERING = "O"
    WHOLE_MEMORY = "W"
    HAZARD = "H"


@dataclass(frozen=True)
class Clause:
    """One promise of the frame module; `kind` is as the contract writes it, `S/H` for two kinds."""

    id: str
    kind: str
    section: str
    title: str

    @cached_property
    def kinds(self) -> frozenset[ClauseKind]:
        return frozenset(ClauseKind(letter) for letter in self.kind.split("/"))

    @property
    def hazard(self) -> bool:
        return ClauseKind.HAZARD in self.kinds


SECTIONS = {
    "A": "Constants",
    "B": "Layout",
    "C": "Metadata array",
    "D": "Allocation",
    "E": "Reference count",
    "F": "Generation",
    "G": "Guard, poison, vtable",
    "H": "Free list and payload",
    "I": "PhysFrame and errors",
}

_ROWS = {
    "A": (
        ("CONST-01", "F", "page size 4096, slot size 64, slot alignment 64"),
        ("CONST-02", "F", "link end is u64::MAX, unused refcount is u32::MAX"),
        ("CONST-03", "F", "guard bits: NONE 0, KERNEL_ONLY bit 0, POISONED bit 31"),
        ("CONST-04", "F", "frame flags sit at bits 0-2 and 8-13"),
        ("CONST-05", "F", "guard and flag POISONED are two bits, set together by mark_poisoned alone"),
    ),
    "B": (
        ("LAYOUT-01", "L", "a slot is 64 bytes, aligned to at most 64"),
        ("LAYOUT-02", "L", "every slot field at its offset and width"),
        ("LAYOUT-03", "L", "both refcount offset constants say 32"),
        ("LAYOUT-04", "L", "a free-list link is next then prev, two u64"),
        ("LAYOUT-05", "L", "the vtable is 64 bytes: two hooks, then six reserved words"),
        ("LAYOUT-06", "L", "FrameMeta and MetaSlot are one type"),
        ("LAYOUT-07", "L", "contract, DWARF and guest bytes agree on each field"),
        ("LAYOUT-08", "F", "a new slot has both links at the end mark and zero elsewhere"),
    ),
    "C": (
        ("ARRAY-01", "F", "array size is one slot per started frame of RAM"),
        (
            "ARRAY-02",
            "F",
            "the array is reserved 64-byte aligned in accessible memory, used through the HHDM",
        ),
        ("ARRAY-03", "F", "every slot starts out new, whatever the memory held"),
        ("ARRAY-04", "F", "zero RAM reserves nothing and leaves no slot to reach"),
        ("ARRAY-05", "P", "a refused reservation panics with bytes, alignment and frames"),
        ("ARRAY-06", "F", "an address finds its frame's slot, 64 bytes from each neighbor"),
        ("ARRAY-07", "P", "a slot asked for too early or past the end panics"),
        ("ARRAY-08", "F", "both slot accessors and the snapshot see the same slot"),
        ("ARRAY-09", "F", "a partial last frame has a slot"),
        ("ARRAY-10", "F", "frames above the PCI hole have slots of their own"),
        ("ARRAY-11", "W", "array, kernel, boot and reserved frames are never free or handed out"),
        ("ARRAY-12", "O", "count is published before base, both Release; readers Acquire base, then count"),
    ),
    "D": (
        ("ALLOC-01", "F", "default options: zeroed, KernelData"),
        ("ALLOC-02", "F", "purpose decides the flags; nothing of an earlier life stays"),
        ("ALLOC-03", "F", "PageTable alone requires zeroing"),
        ("ALLOC-04", "F", "a zeroed frame is zero in all 4096 bytes, its neighbors untouched"),
        ("ALLOC-05", "F", "without zeroing the payload stays as it was"),
        ("ALLOC-06", "F", "PageTable after zeroed(false) still zeroes"),
        ("ALLOC-07", "H", "PageTable before zeroed(false) zeroes too"),
        ("ALLOC-08", "F", "the buddy is asked for order 0, Movable exactly for movable flags"),
        ("ALLOC-09", "F", "a new life: refcount 1, order, vtable, guard 0, generation one up, the rest kept"),
        ("ALLOC-10", "P", "claiming a frame that is not unused panics and changes no count"),
        ("ALLOC-11", "F", "out of memory is an error that changes nothing; a free cures it"),
        ("ALLOC-12", "O", "allocate writes payload, flags, order, claim, vtable, guard, generation in turn"),
        ("ALLOC-13", "F", "frames from the CPU cache pass the same claim and epoch"),
        ("ALLOC-14", "W", "live allocations never overlap and come from free, usable RAM"),
        ("ALLOC-15", "H", "a rejected claim leaves the live frame's payload and flags intact"),
        ("ALLOC-16", "S/H", "who sees refcount 1 sees the whole new life"),
    ),
    "E": (
        ("REF-01", "F", "inc and dec step by one; dec returns the count before"),
        ("REF-02", "F", "cas_refcount stores on a match, reports the actual count otherwise"),
        ("REF-03", "F", "reset_refcount stores 0, set_refcount anything"),
        ("REF-04", "S", "balanced storms of inc and dec lose no update"),
        ("REF-05", "S", "exactly one CPU wins the claim race"),
        ("REF-06", "S", "exactly one CPU drops the last reference"),
        ("REF-07", "H", "inc and dec never step onto the unused sentinel"),
        ("REF-08", "O", "refcount orderings: inc Relaxed, dec Release, CAS AcqRel"),
        ("REF-09", "O/H", "the last dropper has an Acquire edge to every earlier drop"),
    ),
    "F": (
        ("GEN-01", "F", "a successful claim alone bumps the generation, by one"),
        ("GEN-02", "F", "generations grow per frame; a stale holder is told so"),
        ("GEN-03", "F", "the generation wraps from u32::MAX to 0 quietly"),
        ("GEN-04", "O", "generation orderings: bump and set Release, read Acquire"),
        ("GEN-05", "S", "generation growth equals successful allocations over all CPUs"),
    ),
    "G": (
        ("GUARD-01", "F", "guard get, set and fetch_or, which returns the old bits"),
        ("GUARD-02", "F", "mark_poisoned sets both POISONED bits and keeps the rest"),
        ("GUARD-03", "F", "is_guard_poisoned looks at the guard alone"),
        ("GUARD-04", "F", "back on the free list: vtable 0, of the guard only POISONED stays"),
        ("GUARD-05", "F", "a new epoch clears guard and vtable"),
        ("GUARD-06", "F", "a block is poisoned exactly when one of its frames is"),
        ("GUARD-07", "F", "a freed poisoned block is quarantined, counted, never handed out"),
        ("GUARD-08", "H", "a frame poisoned while free is not healed by the next allocation"),
        ("GUARD-09", "S/H", "mark_poisoned and racing flag writers lose no bit"),
        ("GUARD-10", "O", "guard orderings: load Acquire, store Release, fetch_or AcqRel"),
        ("VT-01", "F", "vtable bits 0 mean the default, without hooks"),
        ("VT-02", "F", "a registered aligned vtable is the one returned and called"),
        ("VT-03", "H", "misaligned vtable bits fall back on the default, in every profile"),
        ("VT-04", "F", "an invoker calls its hook once with the frame's address, or nothing"),
        ("VT-05", "F", "release order: last_ref of the head, unmap per page upward, then the buddy"),
        ("VT-06", "F", "hooks run with interrupts disabled"),
        ("VT-07", "O", "vtable orderings: load Acquire, store Release"),
    ),
    "H": (
        ("FREE-01", "W", "no byte of a free frame's payload changes"),
        ("FREE-02", "W", "a free frame: unused, FREE and not ALLOCATED, vtable and guard 0"),
        ("FREE-03", "W", "lists are symmetric, acyclic, ended, and reach each free block once"),
        ("FREE-04", "W", "blocks are aligned, disjoint, in one zone, and agree within"),
        ("FREE-05", "W", "two equal free buddies are always merged"),
        ("FREE-06", "W", "the frame counts of each zone add up"),
        ("FREE-07", "F", "link accessors hold any u64, Acquire and Release"),
        ("FREE-08", "P", "a double free is caught before the frame is aliased"),
        ("FREE-09", "F", "random histories end in the initial free-list population"),
    ),
    "I": (
        ("FRAME-01", "F", "containing_address rounds down; from_start_address takes only multiples of 4096"),
        ("FRAME-02", "F", "an inclusive range yields start to end, then stays exhausted"),
        ("FRAME-03", "H", "a range up to the last representable frame ends without panic"),
        ("FRAME-04", "F", "frames order and compare by address"),
        ("FRAME-05", "F", "AllocError has three variants; too large an order is InvalidOrder"),
        ("FRAME-06", "F", "alloc_frame of the allocator trait is alloc(0)"),
        ("FRAME-07", "F", "is_cow and is_dll look at their own bit"),
        ("FRAME-08", "F", "meta_aux holds any u32"),
    ),
}

CLAUSES: dict[str, Clause] = {
    id_: Clause(id_, kind, section, title) for section, rows in _ROWS.items() for id_, kind, title in rows
}


def clause(id_: str) -> Clause:
    """Look up a clause.

    Raises:
        UnknownClauseError: names the nearest id of the contract.
    """
    found = CLAUSES.get(id_)
    if found is None:
        raise UnknownClauseError("clause", repr(id_), detail="not in the contract", next_step=nearest(id_))
    return found


def nearest(id_: str) -> str:
    """What to do about an id that the contract does not have."""
    near = difflib.get_close_matches(id_.upper(), CLAUSES, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}"
    first, *_, last = CLAUSES
    return f"use an id from {first} to {last}"


def in_contract_order(ids: Iterable[str]) -> list[str]:
    """Sort known ids by section, unknown ones last, each once."""
    rank = {id_: place for place, id_ in enumerate(CLAUSES)}
    return sorted(set(ids), key=lambda id_: (rank.get(id_, len(rank)), id_))
