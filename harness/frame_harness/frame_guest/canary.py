"""Watches the payload of free frames, which nobody may write."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SIZE, Pfn, frames_inside, pfn_to_paddr
from frame_harness.frame_guest.view import GuestView
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import (
    Canary,
    PfnRanges,
    digest_frames,
    mask_of_ranges,
    pfn_ranges,
)

BATCH_FRAMES = 4096  # digests are computed piece by piece: a copy of all of RAM would not fit


class PayloadWatch:
    """Remembers what every free frame holds; `read` says what those frames hold now.

    RAM was filled with garbage before the guest started, so that a byte written by mistake shows.
    """

    def __init__(self, kernel: GuestView, *, limit: int | None = None) -> None:
        """Take the digests of all frames that are free now, or of the last `limit` of them.

        A slot may call a frame free that is no RAM: that is for the invariants to judge, there is no payload.
        """
        self._kernel = kernel
        says_free = (kernel.slots()["flags"] & C.flag_free) != 0
        says_free &= mask_of_ranges(ranges_of_ram(kernel), len(says_free))
        free = np.flatnonzero(says_free).astype(np.int64)
        self.pfns = free if limit is None else free[-limit:]
        self._before = self._digests()

    def renew(self) -> None:
        """Take what the frames hold now for what they must hold: their holders wrote it."""
        self._before = self._digests()

    def read(self) -> Canary:
        """The digests of the watched frames when they were filled, and now."""
        return Canary(pfns=self.pfns, expected=self._before, found=self._digests())

    def _digests(self) -> NDArray[np.uint64]:
        breaks = np.flatnonzero(np.diff(self.pfns) != 1) + 1
        parts = [
            digest_frames(self._pages(run[at : at + BATCH_FRAMES]))
            for run in np.split(self.pfns, breaks)
            for at in range(0, len(run), BATCH_FRAMES)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)

    def _pages(self, run: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The payload of consecutive frames, shape (n, 4096)."""
        view = self._kernel.ram.view(pfn_to_paddr(Pfn(int(run[0]))), len(run) * PAGE_SIZE)
        return view.reshape(-1, PAGE_SIZE)


def ranges_of_ram(kernel: GuestView) -> PfnRanges:
    """The frames that lie in guest RAM as a whole, as QEMU says."""
    return pfn_ranges([frames_inside(each.first_paddr, each.end_paddr) for each in kernel.ram.ranges])
