"""Holds what the registers contain on one way through assembly, numbers where they are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import iced_x86
from iced_x86 import ConditionCode, Register

from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.ir_values import Sum, Symbol, Value, binary, compare, negated, unknown

# At run time its registers are plain integers, whatever its stubs say.
RegisterExt: Final[Any] = iced_x86.RegisterExt

UNBOUND: Final = unknown(Symbol("unbound"))
"""What a register holds that nothing has set: an address made of it leads nobody knows where."""


@dataclass(frozen=True)
class Flags:
    """The status flags as the last instruction that set them left them."""

    kind: str
    left: Value
    right: Value
    result: Value
    bits: int

    def holds(self, condition: int) -> Value | None:
        """Return whether a condition is met; None when these flags do not tell."""
        compared: dict[int, tuple[str, int]] = {
            ConditionCode.B: ("ult", 0), ConditionCode.AE: ("ult", 1), ConditionCode.BE: ("ule", 0),
            ConditionCode.A: ("ule", 1), ConditionCode.L: ("slt", 0), ConditionCode.GE: ("slt", 1),
            ConditionCode.LE: ("sle", 0), ConditionCode.G: ("sle", 1),
        }  # fmt: skip
        if condition in (ConditionCode.E, ConditionCode.NE):
            zero = self.left if self.kind == "equal" else compare("eq", self.result, 0, self.bits)
            return zero if condition == ConditionCode.E else negated(zero)
        if self.kind == "sub" and condition in compared:
            predicate, opposite = compared[condition]
            truth = compare(predicate, self.left, self.right, self.bits)
            return negated(truth) if opposite else truth
        if self.kind in ("and", "or", "xor") and condition in (ConditionCode.B, ConditionCode.AE):
            return int(condition == ConditionCode.AE)
        if self.kind != "equal" and condition in (ConditionCode.S, ConditionCode.NS):
            negative = compare("slt", self.result, 0, self.bits)
            return negative if condition == ConditionCode.S else negated(negative)
        return None


@dataclass
class Registers:
    """What each register holds, by the number of its full form: a value with its width in bytes."""

    held: dict[int, tuple[Value, int]] = field(default_factory=dict)
    flags: Flags | None = None
    forward: bool = True
    """Whether string instructions go up, as the ABI has it on entry."""

    def copy(self) -> Registers:
        """Return registers that can be written to without a change to these."""
        return replace(self, held=dict(self.held))

    def read(self, register: int) -> Value:
        """Return what a register holds, cut to its width."""
        if _is_high(register):  # SDM vol. 1, 3.4.1: AH, BH, CH and DH are the bits 8 to 15
            value, _ = self.held.get(full(register), (UNBOUND, 8))
            return value >> 8 & 0xFF if isinstance(value, int) else unknown(Symbol("high byte", (value,)))
        return self.read_as(register, int(RegisterExt.size(register)))

    def read_as(self, register: int, size: int) -> Value:
        """Return the low bytes of a register."""
        value, width = self.held.get(full(register), (UNBOUND, 8))
        if isinstance(value, int):
            return value & ((1 << size * 8) - 1)
        if size == width or value == UNBOUND:
            return value
        return unknown(Symbol("trunc" if size < width else "zext", (value,), name=str(size * 8)))

    def write(self, register: int, value: Value) -> None:
        """Set a register; 32 bits clear what is above, fewer leave it (SDM vol. 1, 3.4.1.1)."""
        size, name = int(RegisterExt.size(register)), full(register)
        if size >= 4 or name not in self.held:
            kept = value & ((1 << size * 8) - 1) if isinstance(value, int) and size <= 8 else value
            self.held[name] = (kept, size)
            return
        old, _ = self.held[name]
        # SDM vol. 1, 3.4.1: AH, BH, CH and DH are the bits 8 to 15.
        shift, mask = (8, 0xFF) if _is_high(register) else (0, (1 << size * 8) - 1)
        if isinstance(old, int) and isinstance(value, int):
            self.held[name] = (old & ~(mask << shift) | (value & mask) << shift, 8)
        elif shift or not isinstance(value, Sum):
            self.held[name] = (unknown(Symbol("merged", (old, value))), 8)
        else:
            self.held[name] = (value, size)

    def move(self, register: int, by: Value) -> None:
        """Add to a 64-bit register."""
        self.write(register, binary("add", self.read(register), by, 64))


def full(register: int) -> int:
    """Return the number of the widest register that a register is a part of."""
    return int(RegisterExt.full_register(register))


def number_of(name: str) -> int:
    """Return the number of a register by its name in lower case.

    Raises:
        NotUnderstood: there is none of this name.
    """
    number = getattr(Register, name.upper(), None)
    if number is None:
        raise NotUnderstood(f"a register {name!r} is not known here")
    return full(int(number))


def _is_high(register: int) -> bool:
    return register in (Register.AH, Register.BH, Register.CH, Register.DH)
