"""Refuses a core whose structures are not those that are read: nothing of it can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.image.errors import ImageError
from frame_harness.memory_core.state import KINDS, ZONES

_WORD: Final = 8
_OF_A_LIST: Final = ("base", "page_count", "free_lists", "buddy_bitmaps")
_MEMBERS: Final = {
    "buddy::BuddyAllocator": ("zones",),
    "zone::Zone": ("page_count", "allocated"),
    "zone::ZoneSegment": _OF_A_LIST,
    "buddy::LocalFrameCache": ("len", "frames"),
    "frame::MetaSlot": ("next", "prev"),
}
_OF_A_BITMAP: Final = ("data", "num_bits")
_OF_SEGMENTS: Final = ("segments", "segment_count", "segment_capacity")
_NUMBERS: Final = {
    "zone::Zone": ("page_count", "allocated"),
    "zone::ZoneSegment": ("base", "page_count"),
    "buddy::LocalFrameCache": ("len",),
    "frame::MetaSlot": ("next", "prev"),
}
_RING: Final = ("first", "front", "head", "start", "tail")
"""Members of a cache whose frames need not begin at its first place."""
_ENDS: Final = (
    ("in", "out"),
    ("read", "write"),
    ("reader", "writer"),
    ("begin", "end"),
    ("oldest", "newest"),
)
"""Words for both ends of such frames: a cache with one member for each, alike but for them, says so, too."""
_ANOTHER: Final = "a core that keeps its state so can be judged as soon as the harness knows how to read it"


def require_members(structures: dict[str, np.dtype[Any]]) -> None:
    """Refuse structures without a member that is read.

    Args:
        structures: by their names in the tree.
    Raises:
        ImageError: says which.
    """
    for name, dtype in structures.items():
        there = dtype.names or ()
        wanted = _MEMBERS[name]
        if name == "zone::Zone":
            wanted = (*wanted, *(_OF_SEGMENTS if "segments" in there else _OF_A_LIST))
        if missing := [member for member in wanted if member not in there]:
            raise _refused(name, f"a member {missing[0]} in {name}", ", ".join(there))
        for member in _NUMBERS.get(name, ()):
            if dtype[member].kind != "u":
                raise _refused(name, f"a number as {member} of {name}", f"{dtype[member]}")
    _require_addresses(structures["buddy::LocalFrameCache"])


def _require_addresses(cache: np.dtype[Any]) -> None:
    """Refuse a cache that does not hold the addresses of its frames from its first place on."""
    name = "buddy::LocalFrameCache"
    if ring := _members_of_a_ring(cache.names or ()):
        raise _refused(name, f"frames from the first place of {name} on", f"a member {ring[0]}, too")
    if len(_shape(cache, "frames")) != 1 or not is_address(_base(cache, "frames")):
        raise _refused(name, f"an address for each of frames of {name}", f"{cache['frames']}")


def _members_of_a_ring(names: Sequence[str]) -> list[str]:
    parts = {name: name.split("_") for name in names}
    both = (
        name
        for name, words in parts.items()
        for one, other in _ENDS
        if one in words and [other if word == one else word for word in words] in parts.values()
    )
    return [*(name for name in _RING if name in parts), *both]


def require_no_numbers(paddrs: Sequence[Paddr], n_frames: int) -> None:
    """Refuse a cache of pfns: these are below the number of frames, and no multiples of a page.

    Raises:
        ImageError: says so.
    """
    if any(paddr % PAGE_SIZE for paddr in paddrs) and max(paddrs) < n_frames:
        name = "buddy::LocalFrameCache"
        raise _refused(name, f"addresses as frames of {name}", f"numbers, such as {max(paddrs):#x}")


def require_counts(allocator: np.dtype[Any], segment: np.dtype[Any]) -> None:
    """Refuse zones and lists in numbers that nobody has names for.

    Raises:
        ImageError: says what there is.
    """
    zones = _shape(allocator, "zones")
    if len(zones) != 1 or zones[0] > len(ZONES):
        raise _refused("zones", f"at most {len(ZONES)} zones in one array", f"{zones}")
    lists = _shape(segment, "free_lists")
    if len(lists) not in (1, 2) or (len(lists) == 2 and lists[0] != len(KINDS)):
        raise _refused("free_lists", f"free lists by order, or by {len(KINDS)} kinds and order", f"{lists}")
    if _base(segment, "free_lists").kind != "u":
        raise _refused("free_lists", "an address as each free list", f"{_base(segment, 'free_lists')}")
    bitmaps = _base(segment, "buddy_bitmaps").names or ()
    if missing := [name for name in _OF_A_BITMAP if name not in bitmaps]:
        raise _refused("buddy_bitmaps", f"a member {missing[0]} in each of buddy_bitmaps", ", ".join(bitmaps))


def is_address(dtype: np.dtype[Any]) -> bool:
    """Whether a value is one word, or a structure that has one and nothing else."""
    if dtype.names:
        return len(dtype.names) == 1 and is_address(dtype[dtype.names[0]])
    return dtype.kind == "u" and dtype.itemsize == _WORD


def _shape(dtype: np.dtype[Any], member: str) -> tuple[int, ...]:
    return dtype[member].shape


def _base(dtype: np.dtype[Any], member: str) -> np.dtype[Any]:
    return dtype[member].base


def _refused(what: str, expected: str, actual: str) -> ImageError:
    return ImageError(what, "layout", expected=expected, actual=actual, next_step=_ANOTHER)
