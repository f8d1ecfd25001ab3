"""Holds what lies in memory that no other CPU sees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from frame_harness.orderings.ir_values import Root, Sum, Symbol, Value, roots

ANY_BYTES: Final = -1
"""The size of an access of which it is not known how far it goes."""
_PRIVATE: Final = ("alloca", "argument")

_Held = dict[tuple[tuple[tuple[Symbol, int], ...], int, int], Value]


@dataclass
class LocalMemory:
    """The objects of one path, each with what it holds: by address without its number, by offset, by size.

    What lies at another unknown place of an object may be the same bytes.
    """

    _objects: dict[Root, _Held] = field(default_factory=dict)
    _known: frozenset[Root] = frozenset()
    """Objects whose addresses code may have that is not walked into."""

    def copy(self) -> LocalMemory:
        """Return memory that can be written to without a change to this one."""
        return replace(self, _objects=dict(self._objects))  # what one object holds is never changed in place

    def read(self, base: Root, address: Sum, size: int) -> Value | None:
        """Return what was written; None when it is not known."""
        held = self._objects.get(base, {})
        place, offset = address.terms, address.constant
        found = held.get((place, offset, size))
        if found is not None or size == ANY_BYTES:
            return found
        for (where, begin, length), value in held.items():
            if (
                isinstance(value, int)
                and where == place
                and begin <= offset < offset + size <= begin + length
            ):
                return value >> 8 * (offset - begin) & ((1 << 8 * size) - 1)
        return None

    def remember(self, base: Root, address: Sum, size: int, value: Value) -> None:
        """Hold what a read found; nothing is written."""
        if size != ANY_BYTES:
            key = (address.terms, address.constant, size)
            self._objects[base] = {**self._objects.get(base, {}), key: value}

    def write(self, base: Root, address: Sum, size: int, value: Value | None) -> None:
        """Write; a value of None, or a size of `ANY_BYTES`, leaves unknown what is there."""
        place, begin = address.terms, address.constant
        self._objects[base] = {
            (where, at, length): held
            for (where, at, length), held in self._objects.get(base, {}).items()
            if size != ANY_BYTES and where == place and (at + length <= begin or begin + size <= at)
        }
        if value is not None:
            self.give_away([value])
            self.remember(base, address, size, value)

    def copied(self, base: Root, address: Sum, size: int) -> list[tuple[int, int, Value]]:
        """Return what lies in some bytes, as offset from the first one, size and value."""
        place, begin = address.terms, address.constant
        return [
            (at - begin, length, value)
            for (where, at, length), value in self._objects.get(base, {}).items()
            if where == place and begin <= at and at + length <= begin + size
        ]

    def contents(self, base: Root) -> list[Value]:
        """Return all values that an object is known to hold."""
        return list(self._objects.get(base, {}).values())

    def give_away(self, values: Iterable[Value]) -> None:
        """Let code that is not walked into have the addresses that are among some values."""
        given = {root for value in values for root in roots(value) if root[0] in _PRIVATE}
        if not given <= self._known:
            self._known |= given

    def forget_known(self) -> None:
        """Take for changed whatever is known to code that is not walked into."""
        for root in self._known:
            self._objects.pop(root, None)
