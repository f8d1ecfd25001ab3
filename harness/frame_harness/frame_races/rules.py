"""What the frame module's contract says of two operations at once, as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from frame_harness.base.units import paddr_to_pfn
from frame_harness.frame_guest.hooks import HookRecord
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.attribution import OF_COMMAND, OF_NEW_LIFE
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_races.operations import ALLOCATES, CALLS, GENERATION, POISONED, UNUSED
from frame_harness.races.outcome import OTHER_SLOTS, frame_of_answer
from frame_harness.races.rules import RaceRules
from frame_harness.races.scenes import Scene

COW, LIVE, POISONED_FLAG = C.flag_cow, C.flag_allocated | C.flag_kernel, C.flag_poisoned
KERNEL_ONLY = C.guard_kernel_only
LIVES: Final[Mapping[str, int | str]] = {
    "next": 0x7000, "prev": 0x9000, "vtable": "both", "flags": LIVE | COW, "order": 5, "refcount": 2,
    "generation": GENERATION, "guard": KERNEL_ONLY, "meta_aux": 0x1234,
}  # fmt: skip
"""Of a frame in use, with numbers of ours; a text is the name of an address."""
OF_OTHER: Final[Mapping[str, int | str]] = {
    "next": 0xB000, "prev": 0xD000, "vtable": "unmap", "flags": C.flag_allocated | C.flag_user | C.flag_dll,
    "order": 7, "refcount": 3, "generation": GENERATION + 0x30, "guard": 0x40, "meta_aux": 0x4321,
}  # fmt: skip
"""Of the second frame: nothing is as in the first one's slot, whatever its scene."""


def _in_use(name: str, **changes: int | str) -> Scene:
    return Scene(name, changes, {**LIVES, **changes})


IN_USE: Final = _in_use("in use")
OFFERED: Final = Scene("free, next to be handed out", None)
VARIANTS: Final = (
    _in_use("in use, the last reference", refcount=1),
    _in_use("in use, one reference below the most", refcount=UNUSED - 2),
    _in_use("nobody's", refcount=0),
    _in_use("not in use", refcount=UNUSED),
    _in_use("in use, poisoned", guard=POISONED | KERNEL_ONLY, flags=LIVE | COW | POISONED_FLAG),
    _in_use("in use, without hooks", vtable=0),
    _in_use("in use, vtable misaligned", vtable="misaligned"),
)
"""Played with those operations alone that touch a field in which they differ."""


OF_METHOD: Final[Mapping[str, str]] = {
    **{op.words: clause for op, clause in OF_COMMAND.items()},
    "slot.set_flags": "CONST-04",
    "slot.get_flags": "CONST-04",
    "slot.set_order": "LAYOUT-02",
    "slot.get_order": "LAYOUT-02",
    "slot.generation": "GEN-02",
    "slot.set_generation": "GEN-02",
    "slot.inc_ref": "REF-04",
    "slot.dec_ref": "REF-04",
    "slot.cas_refcount": "REF-05",
    "slot.mark_poisoned": "GUARD-09",
    "slot.debug_snapshot": "ARRAY-08",
    "array.get": "ARRAY-06",
    "array.slot": "ARRAY-06",
    "alloc": "ALLOC-16",
    "array.size": "ARRAY-01",
    "purpose.zero": "ALLOC-03",
    "frame.containing": "FRAME-01",
    "frame.from_start": "FRAME-01",
}
"""The clause that a method breaks when it is not of one piece: that about its result, or about its races."""
OF_PART: Final[Mapping[tuple[str, str], str]] = {
    ("slot.note_new_allocation_epoch", "generation"): "GEN-01",
    ("slot.note_new_allocation_epoch", "guard"): "GUARD-05",
    ("slot.note_new_allocation_epoch", "vtable"): "GUARD-05",
    # What is lost there is the mark of a frame that is found corrupt at that moment.
    ("slot.reset_with_free_list_meta", "guard"): "GUARD-09",
    ("alloc", "generation"): "GEN-01",
    ("alloc", "guard"): "GUARD-08",
    ("alloc", "flags"): "GUARD-08",
    ("alloc", "refcount"): "ALLOC-10",
}
"""The same, where it depends on the field."""
OF_FIELD: Final[Mapping[str, str]] = {
    "next": "FREE-07",
    "prev": "FREE-07",
    "vtable": "VT-02",
    "flags": "CONST-04",
    "order": "LAYOUT-02",
    "refcount": "REF-04",
    "generation": "GEN-02",
    "guard": "GUARD-01",
    "meta_aux": "FRAME-08",
}
"""The same, of a method that has no row above: the clause about the field's own loads and stores."""
OF_THE_REST: Final = "LAYOUT-02"
"""Of bytes that the contract reserves."""
CLAUSES: Final = (
    "ALLOC-02", "ALLOC-03", "ALLOC-04", "ALLOC-05", "ALLOC-09", "ALLOC-10", "ALLOC-14", "ALLOC-16",
    "ARRAY-01", "ARRAY-06", "ARRAY-08", "CONST-04", "FRAME-01",
    "FRAME-07", "FRAME-08", "FREE-07", "GEN-01", "GEN-02", "GUARD-01", "GUARD-03",
    "GUARD-04", "GUARD-05", "GUARD-06", "GUARD-08", "GUARD-09", "LAYOUT-02", "REF-01", "REF-03", "REF-04",
    "REF-05", "VT-02", "VT-04",
)  # fmt: skip
"""Everything that a race can be found to break."""

IN_STEPS: Final[Mapping[str, str]] = {
    "slot.debug_snapshot": "diagnostics: three loads, each of its own moment",
    "array.snapshot": "diagnostics: three loads, each of its own moment",
    "slot.note_new_allocation_epoch": "vtable, guard, generation one by one, ahead of the publication",
    "slot.reset_with_free_list_meta": "vtable, then guard, of a frame that nobody uses any more",
    "slot.mark_poisoned": "the guard's bit, then that of the flags: neither implies the other (CONST-05)",
    "alloc": "a life is set up field by field, then published; readers are judged by ALLOC-16",
}
"""By method, with the reason: each step is of one piece; what lies between two of them may be seen."""
OF_ONE_ORDER: Final = (
    *("answer 1", frame_of_answer(1), "answer 2", frame_of_answer(2)),
    *("refcount", "flags", "hooks", OTHER_SLOTS),
)
"""A frame that was handed out went back to nobody; one that went back has no holder."""
LEFT_BEHIND: Final[Mapping[tuple[str, str], tuple[int, str]]] = {
    ("alloc", "flags"): (
        C.flag_poisoned,
        "a frame that is found poisoned after its flags were stored goes back with them: of the flags of a"
        " frame in quarantine POISONED alone means anything",
    ),
}
"""By the method that is held and part of the outcome: the bits that are judged of a frame that nobody
holds, why no others are."""
OF_FREE_FRAME: Final = {"refcount": ("0x0", f"{UNUSED:#x}")}
"""The values that a part of an outcome has where nobody holds the frame."""
ON_A_FREE_FRAME: Final[Mapping[str, str]] = {
    "alloc": "it is the buddy's to hand out",
    "slot.mark_poisoned": "a function that finds it corrupt may say so at any time (GUARD-08)",
    "slot.fetch_or_guard": "a function that finds it corrupt may say so at any time (GUARD-08)",
}
"""Methods that may write to the slot of a free frame; others may read it."""

OF_LIFE: Final[Mapping[str, str]] = {**OF_NEW_LIFE, OTHER_SLOTS: "ALLOC-14"}
OF_ITS_SETUP, ZEROED, LEFT_AS_IT_WAS = "ALLOC-09", "ALLOC-04", "ALLOC-05"
CLAUSES_OF_LIFE: Final = (*dict.fromkeys(OF_LIFE.values()), OF_ITS_SETUP, ZEROED, LEFT_AS_IT_WAS)
"""What an allocation can break that another one, of another frame, has spoiled."""


def clause_of_life(line: str, part: str) -> str:
    """The clause that an allocation breaks which another one, of another frame, has spoiled.

    Args:
        line: the command.
        part: of the outcome; empty for any.
    """
    if part == "payload":
        return LEFT_AS_IT_WAS if "zeroed=0" in line else ZEROED
    return OF_LIFE.get(part, OF_ITS_SETUP)


def clause_of(method: str, field: str) -> str:
    """The clause that a method breaks whose accesses to a field are not of one piece."""
    return OF_PART.get((method, field)) or OF_METHOD.get(method) or OF_FIELD.get(field) or OF_THE_REST


FILLED: Final = 0x5C  # ours


class FrameInAGuest:
    """A frame that the buddy gave, with hooks that write down their calls, and a second one.

    Attributes:
        other: physical address of the second one.
        readying: commands that fill a CPU's own stock of frames.
        known: `frame`, its physical address; by name virtual addresses of vtables.
    """

    readying: Final = (f"{ALLOCATES} new zeroed=0",)

    def __init__(self, kernel: Kernel) -> None:
        self.paddr = kernel.buddy_alloc(0, "unmovable")
        vtables = {name: kernel.vtable(name) for name in ("both", "unmap", "lastref")}
        self.known = {"frame": int(self.paddr), **vtables, "misaligned": vtables["both"] + 4}
        self.other = kernel.buddy_alloc(0, "unmovable")
        slots = kernel.slots()
        slots[paddr_to_pfn(self.paddr)]["generation"] = GENERATION
        for name, value in OF_OTHER.items():
            slots[paddr_to_pfn(self.other)][name] = self.known[value] if isinstance(value, str) else value
        self._payload = kernel.payload(self.paddr)
        kernel.call("vt.clear")
        self._record = HookRecord(kernel)

    @property
    def offering(self) -> str:
        """The command that makes the buddy hand out this frame next."""
        return f"inject buddy.next {self.paddr:#x}"

    def fill(self) -> None:
        """Fill the payload of the frame with a byte that is not zero."""
        self._payload.fill(FILLED)

    def beside(self) -> dict[str, str]:
        """The calls of hooks, in order; which bytes the payload of the frame holds."""
        held = ", ".join(f"{byte:#04x}" for byte in np.unique(self._payload).tolist())
        calls = ", ".join(f"{hook}({paddr:#x})" for hook, paddr in self._record.events())
        return {"hooks": calls, "payload": held}


RULES: Final = RaceRules(
    calls=CALLS,
    take=FrameInAGuest,
    in_use=IN_USE,
    offered=OFFERED,
    variants=VARIANTS,
    clause_of=clause_of,
    clause_of_life=clause_of_life,
    clauses_of_life=CLAUSES_OF_LIFE,
    clauses=CLAUSES,
    in_steps=IN_STEPS,
    of_one_order=OF_ONE_ORDER,
    left_behind=LEFT_BEHIND,
    of_free_frame=OF_FREE_FRAME,
    on_a_free_frame=ON_A_FREE_FRAME,
    allocates=ALLOCATES,
)
