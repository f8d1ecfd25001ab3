"""Performs what assembly does to memory, in the terms in which the orderings are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Space
from frame_harness.orderings.ir_access import Accesses
from frame_harness.orderings.ir_local import ANY_BYTES
from frame_harness.orderings.ir_places import VAGUE, AddressMeaning
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_values import Value, compare, show

# x86 moves no store ahead of an earlier load or store, no load ahead of an earlier load, and a locked
# instruction is a full barrier (Intel SDM vol. 3A, 9.2.2). Non-temporal stores are the exception: they are
# ordered by SFENCE, MFENCE and locked instructions alone. The compiler is another matter: it keeps its
# accesses where they are only around a block that may touch memory.
_PREFIXES: Final = ("lock", "rep", "repe", "repne", "xacquire", "xrelease")


@dataclass(frozen=True)
class By:
    """The instruction that does it; `ordered`: in its place as far as the compiler is concerned."""

    text: str
    ordered: bool

    @property
    def word(self) -> str:
        """The mnemonic of the instruction, its prefixes left out."""
        return next(word for word in self.text.split() if word not in _PREFIXES)


class AsmMemory:
    """Notes the accesses of a block."""

    def __init__(self, accesses: Accesses) -> None:
        self._accesses = accesses

    def load(
        self, state: State, by: By, address: Value, size: int, order: MemoryOrder = MemoryOrder.ACQUIRE
    ) -> Value:
        """Read, and return what was read."""
        read: Value | None = None
        spots = self._accesses.places.spots(address, size)
        for where in spots:
            if where.is_local:
                value = self._accesses.local(state, where, size or ANY_BYTES)
            else:
                value = self._accesses.shared(state, where)
                if where.space is not Space.MEMORY:
                    self._note(state, by, AccessOp.LOAD, where, order, value=value, read=show(value))
            read = value
        return state.fresh("bytes") if read is None or len(spots) > 1 else read

    def store(
        self,
        state: State,
        by: By,
        address: Value,
        size: int,
        value: Value,
        order: MemoryOrder = MemoryOrder.RELEASE,
        *,
        nontemporal: bool = False,
    ) -> None:
        """Write; `size` may be `ANY_BYTES`."""
        spots = self._accesses.places.spots(address, size)
        for where in spots:
            written = self._accesses.places.part(value, where, alone=len(spots) == 1)
            if self._accesses.write_local(state, where, size if size in (1, 2, 4, 8) else ANY_BYTES, written):
                continue
            self._may_touch(by)
            state.local.give_away([written])
            self._accesses.own(state, where, written)
            self._note(
                state, by, AccessOp.STORE, where, order, written=show(written), nontemporal=nontemporal
            )

    def update(self, state: State, by: By, address: Value, size: int, new: Value | None, old: Value) -> None:
        """Read `old`, write `new`, in one locked step; write nothing when `new` is None."""
        where = self._only(address, size)
        self.fence(state, by, MemoryOrder.SEQ_CST)
        if new is not None:
            state.local.give_away([new])
        if where.is_local:
            if new is not None:
                self._accesses.write_local(state, where, size, new)
            return
        self._may_touch(by)
        done = new is not None
        if new is not None:
            self._accesses.own(state, where, new)
        self._note(
            state,
            by,
            AccessOp.CAS if by.word == "cmpxchg" else AccessOp.RMW,
            where,
            MemoryOrder.ACQ_REL if by.ordered else MemoryOrder.PLAIN,
            value=old,
            read=show(old),
            written=show(new),
            failure=None if done else MemoryOrder.ACQUIRE,
            done=done,
        )
        self.fence(state, by, MemoryOrder.SEQ_CST)

    def found(self, state: State, address: Value, size: int) -> Value:
        """Return what a locked instruction finds, without noting that it reads."""
        where = self._only(address, size)
        if where.is_local:
            return self._accesses.local(state, where, size)
        return self._accesses.shared(state, where)

    def fence(self, state: State, by: By, order: MemoryOrder) -> None:
        """Order what comes before and after; not when the compiler may move its accesses across."""
        if by.ordered:
            trail = self._accesses.trail(state)
            state.note(MemoryAccess(AccessOp.FENCE, Space.NONE, "", order=order, trail=trail, asm=by.text))

    def _only(self, address: Value, size: int) -> AddressMeaning:
        """Return the one place that an update touches."""
        spots = self._accesses.places.spots(address, size)
        if len(spots) != 1:
            raise NotUnderstood(f"it updates {' and '.join(spot.item for spot in spots)} in one step")
        return spots[0]

    @staticmethod
    def _may_touch(by: By) -> None:
        if not by.ordered:
            raise NotUnderstood(
                f"`{by.text}` writes to memory, which options(nomem) or options(pure) rules out"
            )

    def _note(
        self,
        state: State,
        by: By,
        op: AccessOp,
        where: AddressMeaning,
        order: MemoryOrder,
        *,
        value: Value | None = None,
        read: int | str | None = None,
        written: int | str | None = None,
        failure: MemoryOrder | None = None,
        done: bool = True,
        nontemporal: bool = False,
    ) -> None:
        if where.vague:
            raise NotUnderstood(VAGUE)
        access = MemoryAccess(
            op,
            where.space,
            where.item,
            order=order if by.ordered else MemoryOrder.PLAIN,
            failure=failure,
            detail=by.word if op is AccessOp.RMW else "",
            done=done,
            read=read,
            written=written,
            trail=self._accesses.trail(state),
            asm=by.text,
            nontemporal=nontemporal,
        )
        state.note(access, value)


def equality(found: Value, expected: Value, size: int) -> Value:
    """Return whether two values of `size` bytes are equal, as a value that may be unknown."""
    return compare("eq", found, expected, size * 8)
