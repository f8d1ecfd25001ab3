"""The clauses of a memory core: section K of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Final

from frame_harness.contract.clauses import Clauses

CORE_CLAUSES: Final = Clauses(
    {"K": "The memory core"},
    {
        "K": [
            (
                "CORE-01",
                "W",
                "the core starts on every map that has room for it, and refuses others in words",
            ),
            (
                "CORE-02",
                "W",
                "the core takes usable memory for itself, parts apart and aligned, and writes to no other",
            ),
            ("CORE-03", "W", "no free block lies outside of the map's usable memory"),
            ("CORE-04", "W", "no free block covers what the core took for itself"),
            ("CORE-05", "W", "after boot every usable frame is free, or part of what the core took"),
            ("CORE-06", "W", "a free block begins at a multiple of its size"),
            ("CORE-07", "W", "free lists lead from block to block and back; no frame is free twice"),
            ("CORE-08", "W", "free buddies of one kind are merged"),
            ("CORE-09", "F", "an allocation returns: a block or an error"),
            (
                "CORE-10",
                "F",
                "an allocation fails only when no free frames could serve it, cached ones included",
            ),
            ("CORE-11", "F", "an allocation that failed fails again as long as nothing is freed"),
            ("CORE-12", "F", "a block that is given is usable memory in the zone asked for"),
            ("CORE-13", "F", "a block that is given begins at a multiple of its size"),
            (
                "CORE-14",
                "W",
                "a frame has one owner: what was given is not free, nor given again, nor written to",
            ),
            ("CORE-15", "F", "a free of a block that was given returns"),
            (
                "CORE-16",
                "W",
                "when all is freed, the frames of the start are free, and the largest block can be had",
            ),
            ("CORE-17", "F", "a free of what was not given is refused before a frame has two owners"),
            ("CORE-18", "W", "counters agree with lists and caches"),
            ("CORE-19", "W", "a poisoned block that is freed is counted, and neither free nor allocated"),
            ("CORE-20", "F", "the totals that the core tells agree with what it holds"),
            ("CORE-21", "S", "several CPUs at once: no frame in two hands, and all of the above afterwards"),
            ("CORE-22", "F", "page tables in the core's frames lead nowhere but where a page was mapped"),
            ("CORE-23", "F", "the work of boot is bounded: linear in frames, quadratic in regions"),
            ("CORE-24", "F", "the work of an operation depends on its order, not on how much memory is free"),
            ("CORE-25", "F", "the size, the pages and the validity of a handle follow from base and order"),
            ("CORE-26", "F", "a frame has one owner entry: a claim of frames that are owned is refused"),
            ("CORE-27", "F", "the count of an owned block is its capabilities, each once, and its pins"),
            ("CORE-28", "W", "the slot of an owned block's first frame says its order and its count"),
            ("CORE-29", "F", "a request that cannot be done for an owner is refused, and changes nothing"),
            ("CORE-30", "W", "the last reference frees a block: once, at once, and no other one does"),
            ("CORE-31", "F", "an owned block is found by each of its frames, and by none outside"),
            (
                "CORE-32",
                "W",
                "the slot of each free frame says so: FREE, the count of nobody, no owner, its block's order",
            ),
            ("CORE-33", "W", "the slot of a frame in use is not FREE; only its owner changes it"),
            (
                "CORE-34",
                "F",
                "a frame that FrameAllocOptions gives begins a new life: flags, count, generation, payload",
            ),
            ("CORE-35", "W", "a generation grows by one with each claim of its frame, and by nothing else"),
            ("CORE-36", "W", "no byte of a frame changes while it is free: links lie in slots alone"),
            ("CORE-37", "F", "a frame that is poisoned while it is free is not given"),
            ("CORE-38", "W", "marks for copy-on-write and libraries change nothing but themselves"),
            (
                "CORE-39",
                "F",
                "what an owner writes to a shared frame no other one sees; the last one frees it",
            ),
        ]
    },
)


class Trait(Flag):
    """What engines have to know of a clause beside its text."""

    STATE = auto()
    """Every state is judged by it."""
    SLOTS = auto()
    """The slots of every state are judged by it."""
    LASTING = auto()
    """Behind its violation the others still can be judged: nobody lost a frame by it so far."""
    UNSURE = auto()
    """Not judged behind a frame that was poisoned while it was free: a core may take it out of its lists at
    any time, alone or with its neighbors."""
    EACH_TOLD = auto()
    """One state tells every cause: one does not hide another."""
    TWO_OWNERS = auto()
    """It shows that a frame has two owners, or one that may not have it."""
    OWNING = auto()
    """Of a core that knows the owners of its blocks."""


T: Final = Trait
TRAITS: Final[Mapping[str, Trait]] = {
    "CORE-02": T.LASTING | T.EACH_TOLD,
    "CORE-03": T.STATE | T.LASTING | T.TWO_OWNERS,
    "CORE-04": T.STATE | T.LASTING | T.EACH_TOLD | T.TWO_OWNERS,
    "CORE-05": T.LASTING,
    "CORE-06": T.STATE | T.LASTING,
    "CORE-07": T.STATE | T.TWO_OWNERS,
    "CORE-08": T.STATE | T.LASTING | T.UNSURE,
    "CORE-10": T.LASTING | T.UNSURE,
    "CORE-13": T.LASTING,
    "CORE-14": T.TWO_OWNERS,
    "CORE-16": T.LASTING | T.UNSURE,
    "CORE-18": T.STATE | T.LASTING | T.UNSURE | T.EACH_TOLD,
    "CORE-19": T.UNSURE | T.TWO_OWNERS,
    "CORE-20": T.LASTING | T.UNSURE | T.EACH_TOLD,
    "CORE-25": T.LASTING | T.OWNING,
    "CORE-26": T.OWNING,
    "CORE-27": T.OWNING,
    "CORE-28": T.LASTING | T.OWNING,
    "CORE-29": T.OWNING,
    "CORE-30": T.OWNING,
    "CORE-31": T.LASTING | T.OWNING,
    "CORE-32": T.SLOTS | T.LASTING,
    "CORE-33": T.SLOTS | T.LASTING,
    "CORE-34": T.LASTING,
    "CORE-35": T.SLOTS | T.LASTING,
    "CORE-36": T.SLOTS | T.LASTING,
    "CORE-38": T.LASTING | T.OWNING,
    "CORE-39": T.OWNING,
}


def _having(trait: Trait) -> frozenset[str]:
    return frozenset(clause for clause, traits in TRAITS.items() if trait in traits)


STATE_CLAUSES: Final = _having(Trait.STATE)
SLOT_CLAUSES: Final = _having(Trait.SLOTS)
LASTING: Final = _having(Trait.LASTING)
UNSURE: Final = _having(Trait.UNSURE)
EACH_TOLD: Final = _having(Trait.EACH_TOLD)
TWO_OWNERS: Final = _having(Trait.TWO_OWNERS)
OWNING: Final = _having(Trait.OWNING)

SUCCEEDS: Final = {"CORE-10": "CORE-09", "CORE-11": "CORE-09"}
"""Clauses of requests that failed: where they succeed, the other clause was looked at, and these hold."""
NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "CORE-19": ("poison", "MetaSlot::mark_poisoned"),
    "CORE-22": ("tables", "FramePurpose"),
    "CORE-37": ("poison", "MetaSlot::mark_poisoned"),
    **dict.fromkeys((*SLOT_CLAUSES, "CORE-34"), ("slots", "REFCOUNT_UNUSED")),
}
"""By clause the feature of a core without which it cannot be judged, and the name that is missing then.

Those of `OWNING` need files of the core, see `owning_files`.
"""
