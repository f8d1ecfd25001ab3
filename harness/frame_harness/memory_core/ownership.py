"""Who owns which block: the exact model of an ownership table, and of what a request to it may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.base.units import Pfn

Handle = tuple[Pfn, int]
"""A block: number of its first frame, order."""


@dataclass(frozen=True)
class BlockReferences:
    """The references that keep a block: capabilities, each once, and pins without a name."""

    caps: frozenset[int]
    pins: int = 0

    @property
    def count(self) -> int:
        """How many owners it has: a capability or a pin each."""
        return len(self.caps) + self.pins

    @property
    def state(self) -> str:
        """The kernel's word for how many owners there are: `Shared` from two on."""
        return "Shared" if self.count > 1 else "Exclusive"


Owners = Mapping[Handle, BlockReferences]


@dataclass(frozen=True)
class OwnershipRefused:
    """A request that must fail, and must change nothing."""

    why: str
    overlaps: bool = False
    """It asks for frames that are owned."""


OwnershipOutcome = BlockReferences | OwnershipRefused | None
"""What a block's entry is after a request; None where the last reference went."""


def end_of(handle: Handle) -> Pfn:
    """One past the last frame of a block."""
    return Pfn(handle[0] + (1 << handle[1]))


def around(owners: Owners, pfn: Pfn) -> Handle | None:
    """The owned block that a frame is part of."""
    return next((one for one in owners if one[0] <= pfn < end_of(one)), None)


def after(owners: Owners, how: str, handle: Handle, cap: int) -> OwnershipOutcome:
    """What becomes of a block's entry.

    Args:
        how: one of `REQUESTS`.
        cap: of the requests in `BY_CAP`.
    """
    if how == "ensure" and handle in owners:
        how = "add"
    if how in CLAIMS:
        there = next((one for one in owners if one[0] < end_of(handle) and handle[0] < end_of(one)), None)
        return (
            OwnershipRefused("frames of it are owned", overlaps=True)
            if there
            else BlockReferences(frozenset([cap]))
        )
    entry = owners.get(handle)
    return OwnershipRefused("nobody owns it") if entry is None else _CHANGES[how](entry, cap)


def _add(entry: BlockReferences, cap: int) -> OwnershipOutcome:
    if cap in entry.caps:
        return OwnershipRefused("the capability is there")
    return replace(entry, caps=entry.caps | {cap})


def _left(entry: BlockReferences) -> BlockReferences | None:
    return entry if entry.count else None


def _remove(entry: BlockReferences, cap: int) -> OwnershipOutcome:
    if cap not in entry.caps:
        return OwnershipRefused("the capability is not there")
    return _left(replace(entry, caps=entry.caps - {cap}))


def _release(entry: BlockReferences, cap: int) -> OwnershipOutcome:
    if cap in entry.caps and entry.count > 1:
        return OwnershipRefused("there are other references")
    return _remove(entry, cap)


def _pin(entry: BlockReferences, _cap: int) -> OwnershipOutcome:
    return replace(entry, pins=entry.pins + 1)


def _unpin(entry: BlockReferences, _cap: int) -> OwnershipOutcome:
    return _left(replace(entry, pins=entry.pins - 1)) if entry.pins else OwnershipRefused("there is no pin")


_CHANGES: Final[Mapping[str, Callable[[BlockReferences, int], OwnershipOutcome]]] = {
    "add": _add,
    "remove": _remove,
    "release": _release,
    "pin": _pin,
    "unpin": _unpin,
    "inc": _pin,
    "dec": _unpin,
}
CLAIMS: Final = ("claim", "ensure")
"""Requests that make an entry."""
BY_CAP: Final = (*CLAIMS, "add", "remove", "release")
"""Requests for a capability."""
BY_FRAME: Final = ("inc", "dec")
"""Requests by the address of a frame: of `cow.rs`, for the block around it."""
REQUESTS: Final = (*CLAIMS, *_CHANGES)

ALL: Final = "all"
PARTS: Final = (ALL, "head", "tail", "page", "around")
"""Which block a request is for: the one that was given; the first or the second half of it; its last frame;
the block of twice its size that it is part of."""


def part_of(handle: Handle, part: str, max_order: int) -> Handle | None:
    """The block that one of `PARTS` means; None where there is none."""
    pfn, order = handle
    match part:
        case "head" if order:
            return pfn, order - 1
        case "tail" if order:
            return Pfn(pfn + (1 << order - 1)), order - 1
        case "page" if order:
            return Pfn(end_of(handle) - 1), 0
        case "around" if order < max_order:
            return Pfn(pfn & ~((2 << order) - 1)), order + 1
        case "all":
            return handle
    return None
