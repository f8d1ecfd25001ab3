"""What the slot holds when two operations begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_races.operations import GENERATION, POISONED, UNUSED

COW, LIVE, POISONED_FLAG = C.flag_cow, C.flag_allocated | C.flag_kernel, C.flag_poisoned
KERNEL_ONLY = C.guard_kernel_only
LIVES: Final[Mapping[str, int | str]] = {
    "next": 0x7000, "prev": 0x9000, "vtable": "both", "flags": LIVE | COW, "order": 5, "refcount": 2,
    "generation": GENERATION, "guard": KERNEL_ONLY, "meta_aux": 0x1234,
}  # fmt: skip
"""Of a frame in use, with numbers of ours; a text is the name of an address."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A state of the slot.

    Attributes:
        name: how a report calls it.
        changes: fields that differ from those of a frame in use; `None` leaves the slot of a free frame,
            which the buddy offers next, as it is.
    """

    name: str
    changes: Mapping[str, int | str] | None

    @property
    def free(self) -> bool:
        """Whether the slot is that of a free frame, to which nothing is written."""
        return self.changes is None

    @property
    def fields(self) -> dict[str, int | str]:
        """What to write to the slot."""
        return {} if self.changes is None else {**LIVES, **self.changes}


IN_USE: Final = Scene("in use", {})
OFFERED: Final = Scene("free, next to be handed out", None)
VARIANTS: Final = (
    Scene("in use, the last reference", {"refcount": 1}),
    Scene("in use, one reference below the most", {"refcount": UNUSED - 2}),
    Scene("nobody's", {"refcount": 0}),
    Scene("not in use", {"refcount": UNUSED}),
    Scene("in use, poisoned", {"guard": POISONED | KERNEL_ONLY, "flags": LIVE | COW | POISONED_FLAG}),
    Scene("in use, without hooks", {"vtable": 0}),
    Scene("in use, vtable misaligned", {"vtable": "misaligned"}),
)
"""Played with those operations alone that touch a field in which they differ."""
