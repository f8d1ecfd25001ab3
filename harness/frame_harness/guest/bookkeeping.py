"""Brings a guest's bookkeeping back to an earlier moment by writing its RAM."""

from __future__ import annotations

import numpy as np

from frame_harness.guest.booted import BootedGuest
from frame_harness.image.placed import MEMORY_IN_SHIM


class BookkeepingCopy:
    """Slots and statics of the memory modules as they were; the guest must stand at its prompt."""

    def __init__(self, kernel: BootedGuest) -> None:
        # As bytes, since numpy copies records field after field.
        slots = kernel.slots().view(np.uint8)
        # Everything that the subject, the buddy and the hooks remember outside of the slots.
        statics = [kernel.bytes_at(one.vaddr, one.size) for one in kernel.image.statics(MEMORY_IN_SHIM)]
        self._kept = [(live, live.copy()) for live in (slots, *statics)]

    def restore(self) -> None:
        """Write everything back as it was."""
        for live, kept in self._kept:
            live[:] = kept
