"""What the slot of a frame holds when two operations begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_races.operations import GENERATION, POISONED, UNUSED
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
