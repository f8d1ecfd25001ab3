"""What a core's boot allocator has left, which it may still give to whoever asks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from frame_harness.base.units import Paddr, Vaddr
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import ADDRESS_SPACE, Span, common
from frame_harness.memory_core.state import CoreState, LeftOut

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
        self._found = _found(guest.image, f"{path}boot_alloc::BOOT_ALLOCATOR", behind)
        self._why = self._found if isinstance(self._found, str) else ""

    @property
    def unjudged(self) -> tuple[LeftOut, ...]:
        """Why it is not known what is left, where that is so."""
        why = f"what the boot allocator still gives is not judged: {self._why}"
        return (LeftOut("CORE-04", "boot allocator", why),) if self._why else ()

    def left(self) -> Iterator[Span]:
        """Each piece of memory that can be asked for now."""
        if isinstance(self._found, str):
            return
        at, dtype, (pieces, first, end) = self._found
        record = self._guest.bytes_at(at, dtype.itemsize).view(dtype)[0]
        limit = int(record[_LIMIT]) if _LIMIT in (dtype.names or ()) else ADDRESS_SPACE
        spans = [(int(piece[first]), int(piece[end])) for piece in record[pieces][: int(record["len"])]]
        if any(begin > stop for begin, stop in spans):
            self._why = f"{first} and {end} of a piece are something else than its ends"
            return
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


def _found(image: Image, name: str, behind: int) -> tuple[Vaddr, np.dtype[Any], tuple[str, str, str]] | str:
    """Where it is, its type, the members that are read; else why that is not known."""
    try:
        dtype = image.dtype("boot_alloc::BootAllocator")
        at, size = image.static(name)
    except ImageError as error:
        return error.summary
    for other in image.statics(name.rpartition("::")[0]):
        if other.vaddr != at and other.size <= MOST_OF_A_SEAL:
            return f"{other.name.rpartition('::')[2]} may say that it gives nothing any more"
    members = members_of(dtype)
    if members is None or size != behind + dtype.itemsize:
        return "it is made in another way than of pieces and their number, in the shim's lock"
    return Vaddr(at + behind), dtype, members


def members_of(dtype: np.dtype[Any]) -> tuple[str, str, str] | None:
    """The member with the pieces, and those of a piece; None where it is not made of these and a number."""
    names = dtype.names or ()
    others = [name for name in names if name not in _BESIDE]
    if "len" not in names or len(others) != 1:
        return None
    pieces = dtype[others[0]]
    ends = next((ends for ends in ENDS if pieces.base.names == ends), None)
    return None if ends is None or len(pieces.shape) != 1 else (others[0], *ends)
