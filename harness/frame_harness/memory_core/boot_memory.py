"""What a core's boot allocator has left, which it may still give to whoever asks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from frame_harness.base.units import Paddr, Vaddr
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.errors import ImageError
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import ADDRESS_SPACE, Span, common
from frame_harness.memory_core.state import CoreState

ENDS: Final = (("start", "end"), ("__0", "__1"))
"""The members of a piece: its first address, one past its last."""
MOST_OF_A_SEAL: Final = 16
"""Bytes of a static that may say whether the allocator still gives anything."""
_LIMIT: Final = "accessible_limit"
_BESIDE: Final = frozenset({"len", _LIMIT})
"""Members that do not say whether the allocator still gives anything; any other one may say that."""


class BootMemory:
    """Knows where an image keeps the boot allocator; knows nothing where that is made in another way."""

    def __init__(self, guest: BootedGuest, path: str, behind: int) -> None:
        """Look up every name once.

        Args:
            path: of the core in the image.
            behind: where the value begins in a lock.
        """
        self._guest = guest
        self._found = _found(guest, f"{path}boot_alloc::BOOT_ALLOCATOR", behind)

    def left(self) -> Iterator[Span]:
        """Each piece of memory that can be asked for now."""
        if self._found is None:
            return
        at, dtype, (pieces, first, end) = self._found
        record = self._guest.bytes_at(at, dtype.itemsize).view(dtype)[0]
        limit = int(record[_LIMIT]) if _LIMIT in (dtype.names or ()) else ADDRESS_SPACE
        spans = [(int(piece[first]), int(piece[end])) for piece in record[pieces][: int(record["len"])]]
        if any(begin > stop for begin, stop in spans):
            return  # they are something else than ends
        for begin, stop in spans:
            if begin < min(stop, limit):
                yield Paddr(begin), Paddr(min(stop, limit))


def judge_boot(first: CoreState) -> Iterator[CoreViolation]:
    """What is free after boot, and can be asked for from the boot allocator, too."""
    if twice := common(first.boot, first.population()):
        got = f"free, and the boot allocator still gives it, up to {twice[0][1]:#x}"
        yield CoreViolation(
            "CORE-04", "a frame has two owners", "one owner", got, twice[0][0], "boot allocator"
        )


def _found(
    guest: BootedGuest, name: str, behind: int
) -> tuple[Vaddr, np.dtype[Any], tuple[str, str, str]] | None:
    try:
        dtype = guest.image.dtype("boot_alloc::BootAllocator")
        at, size = guest.image.static(name)
    except ImageError:
        return None
    beside = [one.size for one in guest.image.statics(name.rpartition("::")[0]) if one.vaddr != at]
    if any(other <= MOST_OF_A_SEAL for other in beside):
        return None  # a flag, or a number, may say that it gives nothing any more
    members = members_of(dtype)
    return (
        None if members is None or size != behind + dtype.itemsize else (Vaddr(at + behind), dtype, members)
    )


def members_of(dtype: np.dtype[Any]) -> tuple[str, str, str] | None:
    """The member with the pieces, and those of a piece; None where it is not made of these and a number."""
    names = dtype.names or ()
    others = [name for name in names if name not in _BESIDE]
    if "len" not in names or len(others) != 1:
        return None
    pieces = dtype[others[0]]
    ends = next((ends for ends in ENDS if pieces.base.names == ends), None)
    return None if ends is None or len(pieces.shape) != 1 else (others[0], *ends)
