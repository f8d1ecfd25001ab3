"""Brings a guest's bookkeeping back to an earlier moment by writing its RAM."""

from __future__ import annotations

import numpy as np

from frame_harness.guest.booted import BootedGuest

STATICS = "kernel_shim::memory"
"""Everything that the subject, the buddy and the hooks remember outside of the slots."""


class BookkeepingCopy:
    """Slots and statics of the memory modules as they were; the guest must stand at its prompt."""

    def __init__(self, kernel: BootedGuest) -> None:
        # As bytes, since numpy copies records field after field.
        slots = kernel.slots().view(np.uint8)
        statics = [kernel.bytes_at(one.vaddr, one.size) for one in kernel.image.statics(STATICS)]
        self._kept = [(live, live.copy()) for live in (slots, *statics)]

    def restore(self) -> None:
        """Write everything back as it was."""
        for live, kept in self._kept:
            live[:] = kept
