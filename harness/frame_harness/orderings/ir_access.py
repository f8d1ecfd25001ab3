"""Performs the memory accesses of a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from frame_harness.contract.layout import StructLayout
from frame_harness.image.placed import is_part_of
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, SourceStep, Space
from frame_harness.orderings.ir_compute import evaluate
from frame_harness.orderings.ir_places import VAGUE, Addresses, AddressMeaning
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_text import bits_of
from frame_harness.orderings.ir_values import Value, binary, compare, show
from frame_harness.orderings.llvm_ir import Module

FAILURES: Final = 1  # of one cmpxchg on one path: a second try shows all that a third one would
_A_SLOT: Final = frozenset({Space.SLOT})
_RMW: Final = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor"}


class Accesses:
    """Performs accesses in the light of one module's debug metadata."""

    def __init__(self, module: Module, subject: str, slot: StructLayout) -> None:
        self._module = module
        self._subject = subject
        self.places = Addresses(module, subject, slot)

    def trail(self, state: State) -> tuple[SourceStep, ...]:
        """Return the places in the subject's source that lead to what runs, innermost first."""
        found = [
            SourceStep(place.function, place.file, place.line)
            for frame in reversed(state.frames)
            for place in self._module.debug.places(frame.instruction.dbg)
            if is_part_of(place.file, self._subject) and place.line
        ]
        return tuple(found)

    # ---- Instructions

    def load(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a load; what other CPUs may have written is unknown, and new each time.

        Where it finds an outdated value, a path branches off on which the next read finds it, too.
        """
        pointer, size = evaluate(state.frame.values, instruction.operands[0]), self._size(instruction)
        where, *more = self.places.spots(pointer, size)
        if more or where.is_local:
            state.define(
                self.look(state, pointer, size, instruction) if more else self.local(state, where, size)
            )
            return []
        outdated = self._outdated(state, where)
        value = self.shared(state, where) if outdated is None else outdated
        longer = [] if outdated is None else [state.copy()]
        state.outdated.pop(where.item, None)
        order = MemoryOrder(instruction.order)
        for path in (state, *longer):
            if where.space is not Space.MEMORY or order.atomic:
                path.note(self._access(path, AccessOp.LOAD, where, instruction, read=show(value)), value)
            path.define(value)
        return longer

    def look(self, state: State, pointer: Value, size: int, instruction: Instruction) -> Value:
        """Note a read of some bytes, field by field; return what it finds, of which nothing is known."""
        value = state.fresh("bytes")
        for spot in self.places.spots(pointer, size):
            if spot.space is not Space.MEMORY:
                state.note(self._access(state, AccessOp.LOAD, spot, instruction, read=show(value)), value)
        return value

    def _size(self, instruction: Instruction) -> int:
        return self._module.bytes_of(instruction.type)

    @staticmethod
    def _outdated(state: State, where: AddressMeaning) -> Value | None:
        return state.outdated.get(where.item) if where.space is Space.SLOT and where.whole else None

    @staticmethod
    def local(state: State, where: AddressMeaning, size: int) -> Value:
        """Return what memory of this path alone holds; `size` may be `ANY_BYTES`."""
        if where.base is None:
            return state.fresh("local")
        found = state.local.read(where.base, where.address, size)
        if found is None:
            found = state.fresh("local")
            state.local.remember(where.base, where.address, size, found)
        return found

    @staticmethod
    def write_local(state: State, where: AddressMeaning, size: int, value: Value | None) -> bool:
        """Write to memory of this path alone, of which nobody else hears; tell whether it is that."""
        if where.base is not None:
            state.local.write(where.base, where.address, size, value)
        return where.base is not None

    def shared(self, state: State, where: AddressMeaning) -> Value:
        """Return what a read of a shared place finds: something new, unless nobody else writes there."""
        if where.space is Space.SLOT and where.whole and where.item in state.owned:
            return state.owned[where.item]
        kind = {Space.STATIC: "static", Space.SLOT: "field"}.get(where.space, "memory")
        return state.fresh(kind, where.item)

    def store(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a store; no path branches off."""
        values = state.frame.values
        value = evaluate(values, instruction.operands[0], bits_of(instruction.type))
        self.write(
            state, evaluate(values, instruction.operands[1]), self._size(instruction), value, instruction
        )
        state.define(value)
        return []

    def write(
        self, state: State, pointer: Value, size: int, value: Value | None, instruction: Instruction
    ) -> None:
        """Write a value to an address, one that is not known when it is None."""
        spots = self.places.spots(pointer, size)
        if self.write_local(state, spots[0], size, value):
            return
        value = state.fresh("written") if value is None else value
        state.local.give_away([value])
        for spot in spots:
            written = self.places.part(value, spot, alone=len(spots) == 1)
            self.own(state, spot, written)
            access = self._access(state, AccessOp.STORE, spot, instruction, written=show(written))
            state.note(replace(access, nontemporal=True) if instruction.nontemporal else access)

    @staticmethod
    def own(state: State, where: AddressMeaning, value: Value) -> None:
        """Keep what is written where nobody else writes; nothing older is found from then on."""
        if where.space is Space.SLOT:
            state.outdated.pop(where.item, None)
        if where.space is Space.SLOT and where.item in state.owned:
            state.owned[where.item] = value if where.whole else state.fresh("field")

    def rmw(self, state: State, instruction: Instruction) -> list[State]:
        """Perform an `atomicrmw`; no path branches off."""
        values, bits = state.frame.values, bits_of(instruction.type)
        where = self._only(state, instruction)
        if where is None:
            return []
        operand = evaluate(values, instruction.operands[1], bits)
        old = self._found(state, where, instruction)
        if instruction.detail in _RMW:
            new: Value = binary(_RMW[instruction.detail], old, operand, bits)
        else:
            new = operand if instruction.detail == "xchg" else state.fresh("update", where.item)
        state.local.give_away([new])
        if not self.write_local(state, where, bits // 8, new):
            self.own(state, where, new)
            access = self._access(state, AccessOp.RMW, where, instruction, read=show(old), written=show(new))
            state.note(access, old)
        state.define(old)
        return []

    def _only(self, state: State, instruction: Instruction) -> AddressMeaning | None:
        """Return the one place that an update touches; one that touches several is not understood."""
        pointer = evaluate(state.frame.values, instruction.operands[0])
        where, *more = self.places.spots(pointer, self._size(instruction))
        if not more:
            return where
        names = " and ".join(spot.item for spot in (where, *more))
        self.opaque(state, f"`{instruction.op}`: it updates {names} in one step", [pointer])
        state.define(state.fresh("update"))
        return None

    def _found(self, state: State, where: AddressMeaning, instruction: Instruction) -> Value:
        """Return what an update finds; other CPUs may have been given what an argument leads to."""
        if where.base is None:
            return self.shared(state, where)
        if where.base[0] != "alloca":
            return state.fresh("local")
        return self.local(state, where, self._size(instruction))

    def cmpxchg(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a cmpxchg: both ends of it, as far as both can happen."""
        values, bits = state.frame.values, bits_of(instruction.type)
        where = self._only(state, instruction)
        if where is None:
            return []
        expected, new = (evaluate(values, operand, bits) for operand in instruction.operands[1:])
        state.local.give_away([new])
        if where.is_local:
            owned: Value | None = self._found(state, where, instruction)
        else:
            owned = state.owned.get(where.item) if where.space is Space.SLOT and where.whole else None
        equal = None if owned is None else compare("eq", owned, expected, bits)
        truth = None if equal is None else state.truth(equal)
        fails = not truth or instruction.detail == "weak"
        failed = [self._failed(state.copy(), where, instruction, owned, expected)] if fails else []
        outdated = self._outdated(state, where)
        if outdated is not None and compare("eq", outdated, expected, bits) == 0:
            # It failed before another CPU wrote; a value that it takes would be written by this CPU.
            earlier = state.copy()
            del earlier.outdated[where.item]
            failed.append(self._failed(earlier, where, instruction, outdated, expected))
        if truth is False:
            state.end = "impossible"
            return failed
        if equal is not None:
            state.assume(equal, True)
        if not self.write_local(state, where, bits // 8, new):
            self.own(state, where, new)
            access = self._access(
                state, self._op(instruction), where, instruction, read=show(expected), written=show(new)
            )
            state.note(access, expected)
        state.define((expected, 1))
        return failed

    def _failed(
        self,
        state: State,
        where: AddressMeaning,
        instruction: Instruction,
        owned: Value | None,
        expected: Value,
    ) -> State:
        found = owned if owned is not None else state.fresh("field", where.item)
        if not where.is_local:
            op = self._op(instruction)
            access = self._access(state, op, where, instruction, read=show(found), done=False)
            state.note(access, found)
        equal = compare("eq", found, expected, bits_of(instruction.type))
        if instruction.detail == "weak" and not where.is_local:
            state.spurious[len(state.accesses) - 1] = equal
        elif instruction.detail != "weak":
            state.assume(equal, False)
        if state.frame.count(f"{state.frame.block.label}:{state.frame.at} failed") > FAILURES:
            state.end = "cut"
        state.define((found, 0))
        return state

    @staticmethod
    def _op(instruction: Instruction) -> AccessOp:
        return AccessOp.CAS_WEAK if instruction.detail == "weak" else AccessOp.CAS

    def fence(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a fence; no path branches off."""
        state.note(
            MemoryAccess(
                AccessOp.FENCE, Space.NONE, "", order=MemoryOrder(instruction.order), trail=self.trail(state)
            )
        )
        state.define(0)
        return []

    def x86_fence(self, state: State, order: MemoryOrder, name: str) -> None:
        """Note a fence that the code asks for by the name of the instruction."""
        state.note(
            MemoryAccess(AccessOp.FENCE, Space.NONE, "", order=order, trail=self.trail(state), asm=name)
        )

    def opaque(self, state: State, why: str, values: Sequence[Value]) -> None:
        """Note that something was done that nobody here understands, and what it was given."""
        reach, trail = self.places.reach(state, values), self.trail(state)
        state.leave_to_others(values)
        state.note(MemoryAccess(AccessOp.OPAQUE, Space.NONE, why, reach=reach, trail=trail))

    def called(self, state: State, name: str) -> None:
        """Note a call of something that is not walked into."""
        state.note(MemoryAccess(AccessOp.CALL, Space.NONE, name, trail=self.trail(state)))

    def _access(
        self,
        state: State,
        op: AccessOp,
        where: AddressMeaning,
        instruction: Instruction,
        *,
        read: int | str | None = None,
        written: int | str | None = None,
        done: bool = True,
    ) -> MemoryAccess:
        if where.vague:
            trail = self.trail(state)
            return MemoryAccess(AccessOp.OPAQUE, Space.NONE, VAGUE, reach=_A_SLOT, trail=trail)
        is_memory_access = instruction.op in ("load", "store", "atomicrmw", "cmpxchg")
        return MemoryAccess(
            op,
            where.space,
            where.item,
            order=MemoryOrder(instruction.order) if is_memory_access else MemoryOrder.PLAIN,
            failure=MemoryOrder(instruction.failure) if instruction.failure else None,
            detail=instruction.detail if op is AccessOp.RMW else "",
            done=done,
            read=read,
            written=written,
            trail=self.trail(state),
        )

    def handlers(self) -> dict[str, Callable[[State, Instruction], list[State]]]:
        """Return which instruction is performed by what."""
        return {
            "load": self.load,
            "store": self.store,
            "atomicrmw": self.rmw,
            "cmpxchg": self.cmpxchg,
            "fence": self.fence,
        }
