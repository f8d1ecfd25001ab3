"""Performs the memory accesses of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.contract.layout import StructLayout
from frame_harness.image.placed import is_part_of
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, SourceStep, Space
from frame_harness.orderings.ir_compute import bits_of, evaluate
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_values import Sum, Symbol, Value, binary, compare, show, unknown
from frame_harness.orderings.llvm_ir import Module

FAILURES: Final = 1  # of one cmpxchg on one path: a second try shows all that a third one would
_RMW: Final = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor"}


@dataclass(frozen=True)
class AddressMeaning:
    """What an address means: a shared place (`space`, `item`, `which`), or memory of this path alone."""

    space: Space
    item: str = ""
    which: str = ""
    key: tuple[object, int] = (None, 0)
    local: bool = False


class Accesses:
    """Performs accesses in the light of one module's debug metadata."""

    def __init__(self, module: Module, subject: str, slot: StructLayout) -> None:
        self._module = module
        self._subject = subject
        self.fields = module.debug.fields(slot.name)
        self.slot_bytes = slot.size

    # ---- Addresses

    def where(self, state: State, pointer: Value) -> AddressMeaning:
        """Tell what an address leads to: a field of a slot, a static, local or other memory."""
        if not isinstance(pointer, Sum):
            return AddressMeaning(
                Space.MEMORY, "address", key=(None, pointer if isinstance(pointer, int) else 0)
            )
        key = (pointer.terms, pointer.constant)
        kinds = {symbol.kind: symbol for symbol, factor in pointer.terms if factor == 1}
        if "alloca" in kinds or "argument" in kinds:
            return AddressMeaning(Space.MEMORY, key=key, local=True)
        if "global" in kinds:
            return self._global(kinds["global"], pointer, key)
        which = state.objects.setdefault(pointer.terms, f"#{len(state.objects) + 1}")
        if "slot" in kinds or "static" in kinds:
            offset = pointer.constant % self.slot_bytes
            return AddressMeaning(Space.SLOT, self.fields.get(offset, f"+{offset}"), which, key)
        return AddressMeaning(Space.MEMORY, "payload", which, key)

    def _global(self, symbol: Symbol, pointer: Sum, key: tuple[object, int]) -> AddressMeaning:
        if not self._module.is_variable(symbol.name):
            return AddressMeaning(Space.MEMORY, key=key, local=True)
        name = self._module.static_name(symbol.name)
        return AddressMeaning(
            Space.STATIC, f"{name}+{pointer.constant}" if pointer.constant else name, key=key
        )

    def trail(self, state: State) -> tuple[SourceStep, ...]:
        """Return the places in the subject's source that lead to what runs, innermost first."""
        found = [
            SourceStep(place.function, place.file, place.line)
            for frame in reversed(state.frames)
            for place in self._module.debug.places(frame.instruction.dbg)
            if is_part_of(place.file, self._subject) and place.line
        ]
        return tuple(found)

    def reach(self, state: State, values: Iterable[Value]) -> frozenset[Space]:
        """Return what values lead to, by themselves or through memory of this path alone."""
        spaces, seen, pending = set[Space](), set[object](), list(values)
        while pending:
            value = pending.pop()
            if isinstance(value, tuple):
                pending += value
            elif isinstance(value, Sum) and value.terms not in seen:
                seen.add(value.terms)
                where = self.where(state, value)
                if where.local:
                    pending += [held for key, held in state.local.items() if key[0] == value.terms]
                else:
                    spaces.add(where.space)
        return frozenset(spaces)

    # ---- Instructions

    def load(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a load; what other CPUs may have written is unknown, and new each time.

        Where it finds an outdated value, a path branches off on which the next read finds it, too.
        """
        where = self.where(state, evaluate(state.frame.values, instruction.operands[0]))
        if where.local:
            state.define(self.local(state, where))
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

    @staticmethod
    def _outdated(state: State, where: AddressMeaning) -> Value | None:
        return state.outdated.get(where.item) if where.space is Space.SLOT else None

    def local(self, state: State, where: AddressMeaning) -> Value:
        """Return what memory of this path alone holds."""
        known = state.local.get(where.key)
        return known if known is not None else unknown(Symbol("local", name=repr(where.key)))

    def shared(self, state: State, where: AddressMeaning) -> Value:
        """Return what a read of a shared place finds: something new, unless nobody else writes there."""
        if where.space is Space.SLOT and where.item in state.owned:
            return state.owned[where.item]
        kind = {Space.STATIC: "static", Space.SLOT: "field"}.get(where.space, "memory")
        return state.fresh(kind, where.item)

    def store(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a store; no path branches off."""
        values = state.frame.values
        value = evaluate(values, instruction.operands[0], bits_of(instruction.type))
        self.write(state, evaluate(values, instruction.operands[1]), value, instruction)
        state.define(value)
        return []

    def write(self, state: State, pointer: Value, value: Value, instruction: Instruction) -> None:
        """Write a value to an address."""
        where = self.where(state, pointer)
        if where.local:
            state.local[where.key] = value
            return
        self.own(state, where, value)
        access = self._access(state, AccessOp.STORE, where, instruction, written=show(value))
        state.note(replace(access, nontemporal=instruction.nontemporal))

    @staticmethod
    def own(state: State, where: AddressMeaning, value: Value) -> None:
        """Keep what is written where nobody else writes; nothing older is found from then on."""
        if where.space is Space.SLOT:
            state.outdated.pop(where.item, None)
        if where.space is Space.SLOT and where.item in state.owned:
            state.owned[where.item] = value

    def rmw(self, state: State, instruction: Instruction) -> list[State]:
        """Perform an `atomicrmw`; no path branches off."""
        values, bits = state.frame.values, bits_of(instruction.type)
        where = self.where(state, evaluate(values, instruction.operands[0]))
        operand = evaluate(values, instruction.operands[1], bits)
        old = self.shared(state, where)
        if instruction.detail in _RMW:
            new: Value = binary(_RMW[instruction.detail], old, operand, bits)
        else:
            new = operand if instruction.detail == "xchg" else state.fresh("update", where.item)
        self.own(state, where, new)
        access = self._access(state, AccessOp.RMW, where, instruction, read=show(old), written=show(new))
        state.note(access, old)
        state.define(old)
        return []

    def cmpxchg(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a cmpxchg: both ends of it, as far as both can happen."""
        values, bits = state.frame.values, bits_of(instruction.type)
        where = self.where(state, evaluate(values, instruction.operands[0]))
        expected, new = (evaluate(values, operand, bits) for operand in instruction.operands[1:])
        owned = state.owned.get(where.item) if where.space is Space.SLOT else None
        equal = None if owned is None else compare("eq", owned, expected, bits)
        fails = equal != 1 or instruction.detail == "weak"
        failed = [self._failed(state.copy(), where, instruction, owned, expected)] if fails else []
        outdated = self._outdated(state, where)
        if outdated is not None and compare("eq", outdated, expected, bits) == 0:
            # It failed before another CPU wrote; a value that it takes would be written by this CPU.
            earlier = state.copy()
            del earlier.outdated[where.item]
            failed.append(self._failed(earlier, where, instruction, outdated, expected))
        if equal == 0:
            state.end = "impossible"
            return failed
        self.own(state, where, new)
        state.note(
            self._access(
                state, self._op(instruction), where, instruction, read=show(expected), written=show(new)
            ),
            expected,
        )
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
        access = self._access(state, self._op(instruction), where, instruction, read=show(found), done=False)
        state.note(access, found)
        equal = compare("eq", found, expected, bits_of(instruction.type))
        if instruction.detail == "weak":
            state.spurious[len(state.accesses) - 1] = equal
        else:
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
        is_memory_access = instruction.op in ("load", "store", "atomicrmw", "cmpxchg")
        return MemoryAccess(
            op,
            where.space,
            where.item,
            which=where.which,
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
