"""Which bytes of a slot and of statics an operation touches, in which order; where holding it matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frame_harness.base.units import Vaddr


@dataclass(frozen=True)
class Access:
    """One access, which other CPUs see as a whole.

    Attributes:
        offset, width: in bytes, within what is watched: the slot, then statics of the module.
        instruction: which one of the operation it belongs to, from 0.
        inside: it is the store of an instruction that loads first.
    """

    offset: int
    width: int
    reads: bool
    writes: bool
    instruction: int
    inside: bool = False

    def covers(self, offset: int) -> bool:
        """Whether a byte of what is watched is among those that it touches."""
        return self.offset <= offset < self.offset + self.width

    def clashes_with(self, other: Access) -> bool:
        """Whether it matters which of the two comes first."""
        apart = self.offset + self.width <= other.offset or other.offset + other.width <= self.offset
        return not apart and (self.writes or other.writes)


@dataclass(frozen=True)
class Trace:
    """One operation, executed alone.

    Attributes:
        addresses: of its instructions within the subject, in order.
        accesses: to the slot and to statics of the module, in order.
    """

    addresses: tuple[Vaddr, ...]
    accesses: tuple[Access, ...]

    def clashing(self, other: Iterable[Access]) -> tuple[Access, ...]:
        """Return the accesses whose order with those of another operation matters.

        Ahead of each but the first the other operation may find what no order of the two explains. At any
        other point the two do the same as if one of them had come first.
        """
        others = tuple(other)
        return tuple(one for one in self.accesses if any(one.clashes_with(its) for its in others))
