"""Performs the memory accesses of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.contract.layout import StructLayout
from frame_harness.image.placed import is_part_of
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, SourceStep, Space
from frame_harness.orderings.ir_compute import evaluate
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_text import bits_of
from frame_harness.orderings.ir_values import Sum, Symbol, Value, binary, compare, show
from frame_harness.orderings.llvm_ir import Module

NOWHERE: Final = Sum(())
FAILURES: Final = 1  # of one cmpxchg on one path: a second try shows all that a third one would
_RMW: Final = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor"}


@dataclass(frozen=True)
class AddressMeaning:
    """What an address means: a shared place (`space`, `item`, `which`), or memory of this path alone."""

    space: Space
    item: str = ""
    which: str = ""
    address: Sum = NOWHERE
    base: Symbol | None = None
    """Of memory of this path alone: the object that it is."""

    @property
    def offset(self) -> int:
        """The number in the address."""
        return self.address.constant

    @property
    def is_local(self) -> bool:
        """Whether no other CPU sees what is there."""
        return self.base is not None


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
            return AddressMeaning(Space.MEMORY, "address")
        kinds = {symbol.kind: symbol for symbol, factor in pointer.terms if factor == 1}
        base = kinds.get("alloca") or kinds.get("argument")
        if base is not None:
            return AddressMeaning(Space.MEMORY, address=pointer, base=base)
        if "global" in kinds:
            return self._global(kinds["global"], pointer)
        which = state.objects.setdefault(pointer.terms, f"#{len(state.objects) + 1}")
        if "slot" in kinds or "static" in kinds:
            offset = pointer.constant % self.slot_bytes
            return AddressMeaning(Space.SLOT, self.fields.get(offset, f"+{offset}"), which, pointer)
        return AddressMeaning(Space.MEMORY, "payload", which, pointer)

    def _global(self, symbol: Symbol, pointer: Sum) -> AddressMeaning:
        if not self._module.is_variable(symbol.name):
            return AddressMeaning(Space.MEMORY, address=pointer, base=symbol)
        name = self._module.static_name(symbol.name)
        return AddressMeaning(
            Space.STATIC, f"{name}+{pointer.constant}" if pointer.constant else name, address=pointer
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
                if where.base is not None:
                    pending += state.local.contents(where.base)
                else:
                    spaces.add(where.space)
        return frozenset(spaces)

    # ---- Instructions

    def load(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a load; what other CPUs may have written is unknown, and new each time.

        Where it finds an outdated value, a path branches off on which the next read finds it, too.
        """
        where = self.where(state, evaluate(state.frame.values, instruction.operands[0]))
        if where.is_local:
            state.define(self.local(state, where, self._module.bytes_of(instruction.type)))
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
        if where.space is Space.SLOT and where.item in state.owned:
            return state.owned[where.item]
        kind = {Space.STATIC: "static", Space.SLOT: "field"}.get(where.space, "memory")
        return state.fresh(kind, where.item)

    def store(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a store; no path branches off."""
        values = state.frame.values
        value = evaluate(values, instruction.operands[0], bits_of(instruction.type))
        size = self._module.bytes_of(instruction.type)
        self.write(state, evaluate(values, instruction.operands[1]), size, value, instruction)
        state.define(value)
        return []

    def write(
        self, state: State, pointer: Value, size: int, value: Value | None, instruction: Instruction
    ) -> None:
        """Write a value to an address, one that is not known when it is None."""
        where = self.where(state, pointer)
        if self.write_local(state, where, size, value):
            return
        value = state.fresh("written") if value is None else value
        state.local.give_away([value])
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

    def _found(self, state: State, where: AddressMeaning, instruction: Instruction) -> Value:
        """Return what an update finds; other CPUs may have been given what an argument leads to."""
        if where.base is None:
            return self.shared(state, where)
        if where.base.kind != "alloca":
            return state.fresh("local")
        return self.local(state, where, self._module.bytes_of(instruction.type))

    def cmpxchg(self, state: State, instruction: Instruction) -> list[State]:
        """Perform a cmpxchg: both ends of it, as far as both can happen."""
        values, bits = state.frame.values, bits_of(instruction.type)
        where = self.where(state, evaluate(values, instruction.operands[0]))
        expected, new = (evaluate(values, operand, bits) for operand in instruction.operands[1:])
        state.local.give_away([new])
        if where.is_local:
            owned: Value | None = self._found(state, where, instruction)
        else:
            owned = state.owned.get(where.item) if where.space is Space.SLOT else None
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
