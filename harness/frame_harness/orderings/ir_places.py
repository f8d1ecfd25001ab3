"""Tells what addresses mean: fields of slots, statics, memory of one path alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.contract.layout import StructLayout
from frame_harness.image.errors import ImageError
from frame_harness.orderings.events import Space
from frame_harness.orderings.ir_local import ANY_BYTES
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_text import unquoted
from frame_harness.orderings.ir_values import Root, Sum, Symbol, Value, add, unknown
from frame_harness.orderings.llvm_ir import Module

# AtomicPtr<kernel::Stats>  Atomic<*mut kernel::Stats>  Option<&kernel::Stats>
_POINTER: Final = re.compile(r"(?:AtomicPtr<|NonNull<|\*mut |\*const |&(?:mut )?)(.*)")
NOWHERE: Final = Sum(())
VAGUE: Final = "an access to a slot: its address was computed in ways that hide which field it is"


@dataclass(frozen=True)
class AddressMeaning:
    """What an address means: a shared place (`space`, `item`), or memory of this path alone."""

    space: Space
    item: str = ""
    address: Sum = NOWHERE
    base: Root | None = None
    """Of memory of this path alone: the object that it is."""
    shift: int = 0
    """Bytes from the beginning of the access to this place."""
    whole: bool = True
    """Whether the access covers all of the place."""
    vague: bool = False
    """Somewhere in a slot: the address is computed from that of a slot in ways that hide the field."""

    @property
    def offset(self) -> int:
        """The number in the address."""
        return self.address.constant

    @property
    def is_local(self) -> bool:
        """Whether no other CPU sees what is there."""
        return self.base is not None


class Addresses:
    """Tells places of one module apart by its debug metadata."""

    def __init__(self, module: Module, subject: str, slot: StructLayout) -> None:
        self._module = module
        self._slot = slot.name
        self._fields = module.debug.fields(slot.name, module.namespace(subject))
        self._slot_bytes = slot.size
        self._widths = {name: slot.widths.get(name, 64) // 8 for name in self._fields.values()}
        self._at = {
            offset + byte: name
            for offset, name in sorted(self._fields.items())
            for byte in range(self._widths[name])
        }

    def where(self, pointer: Value) -> AddressMeaning:
        """Tell what an address leads to: a field of a slot, a static, local or other memory."""
        if not isinstance(pointer, Sum):
            return AddressMeaning(Space.MEMORY, "address")
        kinds = {symbol.kind: symbol for symbol, factor in pointer.terms if factor == 1}
        if "constant" in kinds:
            self._expect_no_variable(kinds["constant"].name)
        base = kinds.get("alloca") or kinds.get("argument")
        if base is not None:
            return AddressMeaning(Space.MEMORY, address=pointer, base=base.root)
        if "global" in kinds:
            return self._global(kinds["global"], pointer)
        static = kinds.get("static")
        if static is not None and self._leads_elsewhere(static.name):
            return AddressMeaning(Space.STATIC, f"*{static.name}", pointer)
        if static is not None or "slot" in kinds:
            offset = pointer.constant % self._slot_bytes
            return AddressMeaning(Space.SLOT, self._at.get(offset, f"+{offset}"), pointer)
        led = {root for symbol, factor in pointer.terms if factor == 1 for root in symbol.roots}
        if any(kind == "slot" or (kind == "static" and not self._leads_elsewhere(of)) for kind, of, _ in led):
            return AddressMeaning(Space.SLOT, "some field", pointer, whole=False, vague=True)
        if len(led) == 1:
            return AddressMeaning(Space.MEMORY, address=pointer, base=led.pop())
        return AddressMeaning(Space.MEMORY, "payload", pointer)

    def _leads_elsewhere(self, static: str) -> bool:
        """Tell whether a static is a pointer to a structure that is no slot."""
        kind = self._module.static_types.get(static.partition("+")[0], "")
        pointee = _POINTER.search(kind)
        return pointee is not None and "::" in pointee[1] and f"::{self._slot}" not in pointee[1]

    def _expect_no_variable(self, constant: str) -> None:
        names = [unquoted(name) for name in re.findall(r'@("[^"]*"|[-\w.$]+)', constant)]
        if any(map(self._module.is_variable, names)):
            raise ImageError(f"LLVM IR: {constant}: expected an address that is known here, got this one")

    def spots(self, pointer: Value, size: int) -> list[AddressMeaning]:
        """Return the places that an access of some bytes touches: each field of a slot is one."""
        where = self.where(pointer)
        if where.space is not Space.SLOT or where.vague:
            return [where]
        begin = where.offset % self._slot_bytes
        end = self._slot_bytes if size == ANY_BYTES else min(begin + size, self._slot_bytes)
        found = [where]
        if begin not in self._fields or end - begin != self._widths[where.item]:
            more = [at for at in self._fields if begin < at < end]
            found += [replace(self.where(add(pointer, at - begin, 64)), shift=at - begin) for at in more]
            found = [
                replace(spot, whole=at in self._fields and at + self._widths[spot.item] <= end)
                for at, spot in zip((begin, *more), found, strict=True)
            ]
        return found

    def part(self, value: Value, spot: AddressMeaning, *, alone: bool) -> Value:
        """Return what a write of a value leaves in one of the places that it touches."""
        if isinstance(value, int) and spot.space is Space.SLOT and spot.whole:
            return value >> 8 * spot.shift & ((1 << 8 * self._widths[spot.item]) - 1)
        return value if alone else unknown(Symbol("part of", (value,), name=spot.item))

    def _global(self, symbol: Symbol, pointer: Sum) -> AddressMeaning:
        if not self._module.is_variable(symbol.name):
            return AddressMeaning(Space.MEMORY, address=pointer, base=symbol.root)
        name = self._module.static_name(symbol.name)
        return AddressMeaning(
            Space.STATIC, f"{name}+{pointer.constant}" if pointer.constant else name, address=pointer
        )

    def reach(self, state: State, values: Iterable[Value]) -> frozenset[Space]:
        """Return what values lead to, by themselves or through memory of this path alone."""
        spaces, seen, pending = set[Space](), set[object](), list(values)
        while pending:
            value = pending.pop()
            if isinstance(value, tuple):
                pending += value
            elif isinstance(value, Sum) and value.terms not in seen:
                seen.add(value.terms)
                where = self.where(value)
                if where.base is not None:
                    pending += state.local.contents(where.base)
                else:
                    spaces.add(where.space)
        return frozenset(spaces)
