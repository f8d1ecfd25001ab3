"""Watches memory that nobody may use: a core may not write there, neither while it starts nor later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import MemoryMap, Span, common, length, merged, without

EDGE: Final = 4 * PAGE_SIZE
"""So many bytes are watched at both ends of a piece: who writes too far begins, or ends, in memory of his."""
_WORD: Final = np.uint64(0xA5C3_96F0_5A3C_690F)  # ours: no address, no small number, not of equal bytes


class Untouched:
    """The ends of all RAM that a map does not call usable, filled before a core starts on it."""

    def __init__(self, memory: MemoryMap, there: Sequence[Span], ram: GuestRam) -> None:
        """Fill them.

        Args:
            there: RAM that the host may write to.
        """
        pieces = without(there, [(Paddr(0), Paddr(PAGE_SIZE)), *memory.usable])
        ends = [(first, Paddr(min(first + EDGE, end))) for first, end in pieces]
        ends += [(Paddr(max(end - EDGE, first)), end) for first, end in pieces]
        self._watched: list[tuple[Span, NDArray[Any]]] = [
            (span, ram.view(span[0], length([span])).view("<u8"))
            for span in merged(ends)
            if ram.holds(span[0], length([span]))
        ]
        for _, words in self._watched:
            words[:] = _WORD

    def judge(self, known: Sequence[Span]) -> Iterator[CoreViolation]:
        """The first word that was changed.

        Args:
            known: what the core took there, which is a fault by itself.
        """
        for span, words in self._watched:
            if not (words != _WORD).any():
                continue
            changed = span[0] + np.flatnonzero(words != _WORD) * words.itemsize
            for first, end in common([span], known):
                changed = changed[(changed < first) | (changed >= end)]
            if changed.size:
                paddr = Paddr(int(changed[0]))
                got = int(words[(paddr - span[0]) // words.itemsize])
                what = "8 bytes of memory that nobody may use"
                yield CoreViolation("CORE-02", what, f"{int(_WORD):#018x}", f"{got:#018x}", paddr, "written")
                return
