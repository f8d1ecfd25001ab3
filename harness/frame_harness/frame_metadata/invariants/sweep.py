"""One pass over all slots, which finds those few that an invariant has to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.invariants import words
from frame_harness.frame_metadata.invariants.frames import Frames, Mask, Pfns

NEW_IS_ZERO = ("vtable", "flags", "order", "refcount", "generation", "guard", "meta_aux")
"""The fields that are zero in a new slot; the others are links."""

_BITS_OF = {np.uint16: 16, np.uint32: 32}


@dataclass(frozen=True, eq=False)
class Swept:
    """What the slots say; pfns are ascending, and name every slot that may break a rule, not such alone."""

    free: Mask
    """Shape (n_frames,), the flag FREE."""
    listed_free: Mask
    """Shape (n_frames,), free and in no cache: the slot says that a free list holds its block."""
    order: NDArray[np.uint8]
    """Shape (n_frames,), of each slot."""
    generation: NDArray[np.uint32]
    """Shape (n_frames,), of each slot."""
    n_free: int
    """Free frames of RAM."""
    n_held: int
    """Frames of RAM that the frame module handed out for the kernel or a process."""
    n_inside: int
    """Listed free frames of RAM that start no block."""
    odd_free: Pfns
    """Free frames of RAM whose refcount, vtable, guard or flags are not those of a free frame."""
    odd_held: Pfns
    """Frames counted as `n_held` that nobody counts or that are more than one frame."""
    unclear: Pfns
    """Usable frames that are both FREE and ALLOCATED, or neither."""
    taken: Pfns
    """FREE or ALLOCATED, though nobody may own them."""
    large: Pfns
    """Of RAM, with an order beyond the largest."""
    used_reserved: Pfns
    """With a reserved byte that is not zero."""
    touched: Pfns
    """Not as new, reserved bytes apart, though nobody may own them."""
    poisoned: Pfns
    """With guard POISONED."""
    torn: Pfns
    """Counted as `n_inside`, and not of one block with the slot before."""
    nodes: Pfns
    """Of RAM, with a link or at the start of a listed free block."""
    next_links: NDArray[np.uint64]
    """Shape of `nodes`, whose they are."""
    prev_links: NDArray[np.uint64]
    """Shape of `nodes`, whose they are."""
    starts: Mask
    """Shape of `nodes`, which of them start a listed free block."""


def sweep(frames: Frames) -> Swept:
    """Read all slots, block by block: what is read from RAM is judged while the CPU's cache holds it."""
    reader = _Reader(frames)
    for first in range(0, frames.n_frames, words.BLOCK_SLOTS):
        reader.read(slice(first, min(first + words.BLOCK_SLOTS, frames.n_frames)))
    return reader.swept()


class _Pieces:
    """An array that is found piece by piece."""

    def __init__(self, kind: type[Any] = np.intp) -> None:
        self._pieces: list[NDArray[Any]] = [np.empty(0, dtype=kind)]

    def add(self, piece: NDArray[Any]) -> None:
        self._pieces.append(piece)

    def add_rows(self, rows: slice, mask: Mask | None) -> None:
        """The frames of a block that a mask has."""
        if mask is not None and mask.any():
            self._pieces.append(mask.nonzero()[0] + rows.start)

    def whole(self) -> NDArray[Any]:
        return np.concatenate(self._pieces)


class _Reader:
    def __init__(self, frames: Frames) -> None:
        constants = self._constants = frames.constants
        self._frames, self._slots = frames, words.BlockWords(frames.state.slots)
        self._purpose = constants.flag_kernel | constants.flag_user
        self._kind, self._flags_of_free = _flags_of_free(frames)
        self._alignment = _alignments(words.BLOCK_SLOTS, constants.max_order)
        self._free: Mask = np.empty(frames.n_frames, dtype=np.bool_)
        self._listed: Mask = np.empty(frames.n_frames, dtype=np.bool_)
        self._order = np.empty(frames.n_frames, dtype=np.uint8)
        self._generation = np.empty(frames.n_frames, dtype=np.uint32)
        self._n_free = self._n_held = self._n_inside = 0
        self._odd_free, self._odd_held, self._unclear, self._taken = (_Pieces() for _ in range(4))
        self._large, self._used_reserved, self._touched, self._poisoned = (_Pieces() for _ in range(4))
        self._torn, self._nodes, self._starts = _Pieces(), _Pieces(), _Pieces(np.bool_)
        self._next, self._prev = _Pieces(np.uint64), _Pieces(np.uint64)

    def swept(self) -> Swept:
        return Swept(
            free=self._free,
            listed_free=self._listed,
            order=self._order,
            generation=self._generation,
            n_free=self._n_free,
            n_held=self._n_held,
            n_inside=self._n_inside,
            odd_free=self._odd_free.whole(),
            odd_held=self._odd_held.whole(),
            unclear=self._unclear.whole(),
            taken=self._taken.whole(),
            large=self._large.whole(),
            used_reserved=self._used_reserved.whole(),
            touched=self._touched.whole(),
            poisoned=self._poisoned.whole(),
            torn=self._torn.whole(),
            nodes=self._nodes.whole(),
            next_links=self._next.whole(),
            prev_links=self._prev.whole(),
            starts=self._starts.whole(),
        )

    def read(self, rows: slice) -> None:
        """See a block; the one before it was seen last."""
        slots, frames = self._slots, self._frames
        slots.turn_to(rows)
        _fill(self._order[rows], slots.field("order"))
        _fill(self._generation[rows], slots.field("generation"))
        linked = slots.linked(self._constants.link_none)
        usable: Mask | None = frames.usable[rows]
        in_ram: Mask | None = frames.in_ram[rows]
        if frames.usable[rows].all():
            usable = in_ram = None  # nothing has to be left out
        self._see_flags(rows, usable, in_ram)
        self._see_blocks(rows, linked, in_ram)
        self._see_anything(rows, in_ram)
        if usable is not None:
            touched = slots.has_any(NEW_IS_ZERO)
            touched = linked if touched is None else touched | linked
            self._touched.add_rows(rows, np.greater(touched, usable))

    # ---- whose a frame is -------------------------------------------------------------------------------

    def _see_flags(self, rows: slice, usable: Mask | None, in_ram: Mask | None) -> None:
        constants, kind = self._constants, self._kind
        union, flags = self._slots.union("flags"), self._slots.field("flags", kind)
        if flags is None:
            flags = np.zeros(rows.stop - rows.start, dtype=kind)
        free = np.not_equal(flags & kind(constants.flag_free), kind(0), out=self._free[rows])
        allocated = (flags & kind(constants.flag_allocated)) != kind(0)
        counted = self._counted()

        self._unclear.add_rows(rows, _cut(free == allocated, usable))
        if usable is not None:
            self._taken.add_rows(rows, np.greater(free | allocated, usable))
        if union & self._purpose:
            held = (flags & kind(self._purpose)) != kind(0)
            held &= np.greater(allocated, free)
            self._see_held(rows, _cut(held, in_ram), counted)
        # ALLOCATED beside FREE is a question of ownership, and judged there.
        flags |= kind(constants.flag_allocated)
        odd = flags != self._flags_of_free[rows]
        odd |= counted
        if union >> _BITS_OF[kind]:
            odd.fill(True)  # some flags were cut off
        self._see_free(rows, _cut(free.copy(), in_ram), odd)

    def _counted(self) -> Mask | np.bool_:
        """Slots with another refcount than a free frame; one answer where it is zero in all of them."""
        unused = self._constants.refcount_unused
        refcount = self._slots.field("refcount")
        return np.bool_(unused != 0) if refcount is None else refcount != unused

    def _see_held(self, rows: slice, held: Mask, counted: Mask | np.bool_) -> None:
        self._n_held += int(np.count_nonzero(held))
        self._odd_held.add_rows(rows, held & (~counted | (self._order[rows] != 0)))

    def _see_free(self, rows: slice, free: Mask, odd: Mask) -> None:
        self._n_free += int(np.count_nonzero(free))
        for name in ("vtable", "guard"):
            found = self._slots.field(name)
            if found is not None:
                odd |= found != 0
        odd &= free
        self._odd_free.add_rows(rows, odd)

    # ---- what is asked of any slot ----------------------------------------------------------------------

    def _see_anything(self, rows: slice, in_ram: Mask | None) -> None:
        slots, constants = self._slots, self._constants
        if slots.union("order") > constants.max_order:
            self._large.add_rows(rows, _cut(self._order[rows] > constants.max_order, in_ram))
        guard = slots.field("guard")
        if guard is not None:
            self._poisoned.add_rows(rows, (guard & np.uint32(constants.guard_poisoned)) != 0)
        self._used_reserved.add_rows(rows, slots.has_reserved())

    # ---- free blocks ------------------------------------------------------------------------------------

    def _see_blocks(self, rows: slice, linked: Mask, in_ram: Mask | None) -> None:
        order = self._order
        listed = np.greater(self._free[rows], self._frames.cached[rows], out=self._listed[rows])
        inside = _cut(listed.copy(), in_ram)
        offset = rows.start % (1 << self._constants.max_order)
        starts = order[rows] <= self._alignment[offset : offset + rows.stop - rows.start]
        starts &= inside
        nodes = _cut(linked | starts, in_ram)
        at = nodes.nonzero()[0]
        next_links, prev_links = self._slots.links(at)
        self._nodes.add(at + rows.start)
        self._next.add(next_links)
        self._prev.add(prev_links)
        self._starts.add(starts[at])

        inside ^= starts
        self._n_inside += int(np.count_nonzero(inside))
        first = max(rows.start, 1)
        before, behind = slice(first - 1, rows.stop - 1), slice(first, rows.stop)
        # Torn where the slot before is no listed free one, or has another order.
        torn = inside[first - rows.start :]
        torn &= np.less_equal(self._listed[before], order[behind] != order[before])
        self._torn.add_rows(rows, inside)


def _flags_of_free(frames: Frames) -> tuple[type[np.uint16 | np.uint32], NDArray[Any]]:
    """How wide the flags are that count, then those of a free frame at each place, with ALLOCATED."""
    constants = frames.constants
    own = constants.flag_free | constants.flag_allocated | constants.flag_movable
    # Half as many bytes are twice as fast.
    kind = np.uint16 if not (own | constants.flag_kernel | constants.flag_user) >> 16 else np.uint32
    flags: NDArray[Any] = frames.movable * kind(constants.flag_movable)
    flags |= kind(constants.flag_free | constants.flag_allocated)
    return kind, flags


def _alignments(n_frames: int, max_order: int) -> NDArray[np.uint8]:
    """The largest order of which a block may start at each frame, for so many frames from anywhere on.

    Returns:
        Those of pfn 0 and so on; what begins at another pfn begins at that modulo the largest block.
    """
    pattern = np.zeros(1 << max_order, dtype=np.uint8)
    for order in range(1, max_order + 1):
        pattern[:: 1 << order] = order
    return np.tile(pattern, -(-n_frames // len(pattern)) + 1)


def _fill(column: NDArray[Any], found: NDArray[Any] | None) -> None:
    if found is None:
        column.fill(0)
    else:
        column[...] = found


def _cut(mask: Mask, limits: Mask | None) -> Mask:
    """Leave out of a mask what lies outside the limits, if there are any; in place."""
    if limits is not None:
        mask &= limits
    return mask
