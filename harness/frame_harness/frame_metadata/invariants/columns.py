"""What the invariants need of one state, computed once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.invariants.frames import Frames, Mask
from frame_harness.frame_metadata.invariants.lists import FreeLists
from frame_harness.frame_metadata.invariants.sweep import Swept, sweep
from frame_harness.frame_metadata.memory_state import MemoryState


@dataclass(frozen=True, eq=False)
class Past:
    """What a later state is compared with."""

    generation: NDArray[np.uint32]
    """Shape (n_frames,)."""
    poisoned: Mask
    """Shape (n_frames,); poisoned frames that nobody held, so nobody could rightly heal them."""


class Columns(Frames):
    """A state, with what one pass over its slots has found.

    Nothing here trusts the guest: every address, order and counter may hold anything.
    """

    def __init__(self, state: MemoryState, previous: MemoryState | Past | None = None) -> None:
        super().__init__(state)
        self.previous = Columns(previous).past if isinstance(previous, MemoryState) else previous
        self.slots = state.slots

    @cached_property
    def swept(self) -> Swept:
        """What the pass over all slots found; it is made at the first use."""
        return sweep(self)

    @cached_property
    def lists(self) -> FreeLists:
        """The graph of the free lists, walked at the first use."""
        return FreeLists(self, self.swept)

    def number(self, field: str, pfn: Pfn) -> int:
        """What a field of a slot holds."""
        return int(self.slots[field][pfn])

    def has_link(self, pfns: NDArray[np.signedinteger[Any]]) -> Mask:
        """Which of these slots have a link, shape (k,)."""
        none = np.uint64(self.constants.link_none)
        has: Mask = (self.slots["next"][pfns] != none) | (self.slots["prev"][pfns] != none)
        return has

    @cached_property
    def past(self) -> Past:
        """What to hand over when the next state is judged."""
        pfns = self.swept.poisoned
        if self.state.quarantined is None:
            refcount = self.slots["refcount"][pfns]
            nobodys = (refcount == 0) | (refcount == self.constants.refcount_unused)
        else:
            nobodys = self.swept.free[pfns] | np.isin(pfns, self.state.quarantined)
        poisoned = np.zeros(self.n_frames, dtype=np.bool_)
        poisoned[pfns[nobodys]] = True
        return Past(self.swept.generation, poisoned)
