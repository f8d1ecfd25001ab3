"""A slot table as machine words, read one block of slots after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.memory_state import SLOT_FIELDS

# 1 MiB of slots: what is read from RAM once stays in the CPU's cache while its fields are picked apart.
BLOCK_SLOTS = 1 << 14
WORD = np.dtype("<u8")
ALL_BITS = (1 << 64) - 1
LINKS = ("next", "prev")
"""The fields that are as large as a word."""


@dataclass(frozen=True)
class _Place:
    """Where a field lies: in which word, with which of its bits, behind how many fields of its size."""

    word: int
    mask: int
    shift: int
    part: int
    kind: np.dtype[Any]


class BlockWords:
    """The fields of the block that `turn_to` was told last, as whole arrays.

    Of a word that is zero in the whole block, as most are, nothing is copied. All words are read one directly
    after the other, so that only the first of these passes waits for RAM.

    All arrays have shape (n_slots,), with one entry for each slot of the block, unless they say otherwise.
    """

    def __init__(self, slots: NDArray[np.void]) -> None:
        table = slots if _in_words(slots.dtype) else _put_in_words(slots)
        n_words = table.dtype.itemsize // WORD.itemsize
        self._words = np.ascontiguousarray(table).view(WORD).reshape(len(table), n_words)
        self._places = _places(table.dtype)
        self._reserved = _as_words(reserved_bytes(table.dtype))
        self._next, self._prev = (self._places[name].word for name in LINKS)
        self._others = [index for index in range(n_words) if index not in (self._next, self._prev)]
        self._room = np.empty((n_words, min(BLOCK_SLOTS, len(table))), dtype=WORD)
        self._unions = [0] * n_words
        self.turn_to(slice(0, 0))

    def turn_to(self, rows: slice) -> None:
        """Go to a block of at most `BLOCK_SLOTS` slots; what was told of the last one is overwritten."""
        block = self._block = self._words[rows]
        copies = self._copies = self._room[:, : len(block)]
        # A word that was not zero in the last block hardly is in this one.
        used = [index for index in self._others if self._unions[index]]
        for index in used:
            self._copy(index)
        unused = [index for index in self._others if index not in used]
        # Two words can be seen to be zero in one pass.
        for one, other in zip(unused[::2], [*unused[1::2], *unused[-1:]], strict=False):
            either = np.bitwise_or(block[:, one], block[:, other], out=copies[self._next])
            if np.bitwise_or.reduce(either):
                self._copy(one)
                self._copy(other)
        self._both_links = np.bitwise_and(block[:, self._next], block[:, self._prev], out=copies[self._next])

    def _copy(self, index: int) -> None:
        copy = self._copies[index]
        copy[...] = self._block[:, index]
        self._unions[index] = int(np.bitwise_or.reduce(copy))

    def union(self, name: str) -> int:
        """The bitwise or of a field of all slots of the block."""
        place = self._places[name]
        return (self._unions[place.word] & place.mask) >> place.shift

    def field(self, name: str, kind: Any = None) -> NDArray[Any] | None:
        """A field of each slot of the block; None where it is zero in all of them.

        Args:
            kind: of what is returned, if another than the field's own.
        """
        place = self._places[name]
        if not self._unions[place.word] & place.mask:
            return None
        word = self._copies[place.word]
        if not place.shift:
            # Several times as fast as to pick every so many bytes.
            low: NDArray[Any] = word.astype(place.kind if kind is None else kind)
            return low
        found: NDArray[Any] = word.view(place.kind)[place.part :: WORD.itemsize // place.kind.itemsize]
        return found if kind is None else found.astype(kind)

    def linked(self, none: int) -> NDArray[np.bool_]:
        """Slots of the block with a link other than `none`."""
        if none == ALL_BITS:
            has: NDArray[np.bool_] = self._both_links != np.uint64(none)
        else:
            has = self._block[:, self._next] != np.uint64(none)
            has |= self._block[:, self._prev] != np.uint64(none)
        return has

    def links(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Next and prev of some slots of the block, by `rows`, shape (k,); both have that shape, too."""
        return self._block[:, self._next][rows], self._block[:, self._prev][rows]

    def has_reserved(self) -> NDArray[np.bool_] | None:
        """Slots of the block with a byte that no field uses and that is not zero; None for no slot."""
        return self._has_bits(self._reserved)

    def has_any(self, fields: tuple[str, ...]) -> NDArray[np.bool_] | None:
        """Slots of the block in which one of these fields, no links, is not zero; None for no slot."""
        masks = [0] * len(self._reserved)
        for name in fields:
            masks[self._places[name].word] |= self._places[name].mask
        return self._has_bits(masks)

    def _has_bits(self, masks: list[int]) -> NDArray[np.bool_] | None:
        found: NDArray[np.bool_] | None = None
        for index in self._others:
            if self._unions[index] & masks[index]:
                has = (self._copies[index] & np.uint64(masks[index])) != 0
                found = has if found is None else found | has
        return found


def reserved_bytes(dtype: np.dtype[np.void]) -> NDArray[np.bool_]:
    """Which bytes of a slot no field of the contract uses: reserved ones, by whatever name, and padding.

    Returns:
        Shape (slot_bytes,).
    """
    reserved = np.ones(dtype.itemsize, dtype=np.bool_)
    for name, (kind, offset, *_) in (dtype.fields or {}).items():
        if name in SLOT_FIELDS:
            reserved[offset : offset + kind.itemsize] = False
    return reserved


def _as_words(has_byte: NDArray[np.bool_]) -> list[int]:
    """A mask of bytes as a mask of words; ours: all bits of a byte stand for the byte."""
    words: list[int] = np.where(has_byte, 0xFF, 0).astype(np.uint8).view(WORD).tolist()
    return words


def _fields(dtype: np.dtype[np.void]) -> dict[str, tuple[np.dtype[Any], int]]:
    """The kind and the offset of each field of the contract."""
    found: Mapping[str, Any] = dtype.fields or {}
    return {name: (found[name][0], found[name][1]) for name in SLOT_FIELDS}


def _in_words(dtype: np.dtype[np.void]) -> bool:
    """Whether slots are whole words, and each field a number inside one, as a compiler lays them out."""
    fields = _fields(dtype)
    numbers = all(kind.kind == "u" and kind.isnative for kind, _ in fields.values())
    inside = numbers and all(offset % kind.itemsize == 0 for kind, offset in fields.values())
    whole = dtype.itemsize % WORD.itemsize == 0 and all(fields[name][0] == WORD for name in LINKS)
    return inside and whole


def _put_in_words(slots: NDArray[np.void]) -> NDArray[np.void]:
    """A copy of the fields, with one more that is not zero where a reserved byte is not."""
    sizes = {name: kind.itemsize for name, (kind, _) in _fields(slots.dtype).items()}
    sizes |= dict.fromkeys(LINKS, WORD.itemsize)
    kinds = [(name, f"<u{size}") for name, size in sizes.items()]
    table = np.zeros(len(slots), dtype=np.dtype([*kinds, ("reserved", "u1")], align=True))
    for name in SLOT_FIELDS:
        table[name] = slots[name]
    rows = np.ascontiguousarray(slots).view(np.uint8).reshape(len(slots), slots.dtype.itemsize)
    table["reserved"] = rows[:, reserved_bytes(slots.dtype)].any(axis=1)
    return table


def _places(dtype: np.dtype[np.void]) -> dict[str, _Place]:
    places = {}
    for name, (kind, offset) in _fields(dtype).items():
        word, at = divmod(offset, WORD.itemsize)
        has_byte = np.zeros(dtype.itemsize, dtype=np.bool_)
        has_byte[offset : offset + kind.itemsize] = True
        places[name] = _Place(word, _as_words(has_byte)[word], 8 * at, at // kind.itemsize, kind)
    return places
