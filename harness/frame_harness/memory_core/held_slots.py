"""What the slots of blocks said when they were last judged: nobody but the owner of a block changes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Pfn

HeldPfns = NDArray[np.int64]
"""Shape (k,): numbers of frames."""
SlotChange = tuple[Pfn, str, int, int]
"""The frame, the field, what it held, what it holds."""


class HeldSlots:
    """The fields of the slots of frames that somebody has, from one moment of a case to the next."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._fields = fields
        self._pfns: HeldPfns = np.empty(0, np.int64)
        self._rows: NDArray[Any] | None = None

    def was_changed(self, first: Pfn, count: int = 1) -> None:
        """The owner of frames one after another, or the harness, changed their slots, or had them changed."""
        if self._rows is not None:
            stays = (self._pfns < first) | (self._pfns >= first + count)
            self._pfns, self._rows = self._pfns[stays], self._rows[stays]

    def forget(self) -> None:
        """Owners changed slots, and nobody knows which."""
        self._pfns, self._rows = self._pfns[:0], None

    def first_change(self, slots: NDArray[Any], pfns: HeldPfns) -> SlotChange | None:
        """The first field that is another one than before, in slots of frames that are held now, too.

        Args:
            slots: the table, shape (n_frames,).
            pfns: frames that somebody has now; one that has two owners may be there twice.
        """
        if (pfns[1:] <= pfns[:-1]).any():
            pfns = np.unique(pfns)
        rows, found = slots[pfns], None
        if self._rows is not None and self._pfns.size:
            # Both are in ascending order.
            at = np.searchsorted(self._pfns, pfns)
            at[at == self._pfns.size] = 0
            stays = self._pfns[at] == pfns
            found = _first(self._fields, pfns[stays], self._rows[at[stays]], rows[stays])
        self._pfns, self._rows = pfns, rows
        return found


def _first(
    fields: tuple[str, ...], pfns: HeldPfns, before: NDArray[Any], now: NDArray[Any]
) -> SlotChange | None:
    for field in fields:
        changed = np.flatnonzero(before[field] != now[field])
        if changed.size:
            at = int(changed[0])
            return Pfn(int(pfns[at])), field, int(before[field][at]), int(now[field][at])
    return None
