"""Computes the results of instructions that touch no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from frame_harness.image.errors import ImageError
from frame_harness.orderings.ir_syntax import BINARY, Instruction
from frame_harness.orderings.ir_text import Global, IrOperand, Register, bits_of
from frame_harness.orderings.ir_values import Symbol, Value, add, binary, compare, scale, unknown
from frame_harness.orderings.llvm_ir import Module

IrValues = Mapping[str, Value]

_ANY: Final = count()


def evaluate(values: IrValues, operand: IrOperand, bits: int = 64) -> Value:
    """Return what an operand stands for; numbers modulo 2^`bits`.

    What is undefined differs from all else, also from what it was elsewhere.
    """
    if isinstance(operand, int):
        return operand & ((1 << bits) - 1)
    if isinstance(operand, Register):
        found = values.get(operand.name)
        return unknown(Symbol("undefined", name=operand.name)) if found is None else found
    if isinstance(operand, Global):
        return add(unknown(Symbol("global", name=operand.name)), operand.offset, 64)
    if isinstance(operand, tuple):
        return tuple(evaluate(values, member) for member in operand)
    return unknown(
        Symbol("constant", name=operand.text) if operand.text else Symbol("any", name=str(next(_ANY)))
    )


def value_of(module: Module, values: IrValues, instruction: Instruction) -> Value | None:
    """Return the result of an instruction; None when it is not known how to compute it."""
    reader = _READERS.get(instruction.op)
    return None if reader is None else reader(module, values, instruction)


def _binary(_: Module, values: IrValues, instruction: Instruction) -> Value:
    bits = bits_of(instruction.type)
    left, right = (evaluate(values, operand, bits) for operand in instruction.operands)
    return binary(instruction.op, left, right, bits)


def _icmp(_: Module, values: IrValues, instruction: Instruction) -> Value:
    bits = bits_of(instruction.type)
    left, right = (evaluate(values, operand, bits) for operand in instruction.operands)
    return compare(instruction.detail, left, right, bits)


def _cast(_: Module, values: IrValues, instruction: Instruction) -> Value:
    bits, target = bits_of(instruction.type), bits_of(instruction.detail)
    value = evaluate(values, instruction.operands[0], bits)
    if isinstance(value, int):
        if instruction.op == "sext" and value >> (bits - 1) & 1:
            value -= 1 << bits
        return value & ((1 << target) - 1)
    if instruction.op in ("inttoptr", "ptrtoint", "bitcast", "addrspacecast"):
        return value
    return unknown(Symbol(instruction.op, (value,), name=str(target)))


def _freeze(_: Module, values: IrValues, instruction: Instruction) -> Value:
    return evaluate(values, instruction.operands[0], bits_of(instruction.type))


def _gep(module: Module, values: IrValues, instruction: Instruction) -> Value:
    pointer, first, *inner = instruction.operands
    try:
        step = module.size_of(instruction.type)
        address = add(evaluate(values, pointer), scale(evaluate(values, first), step, 64), 64)
        kind = instruction.type
        for index in inner:
            if not isinstance(index, int):
                return add(address, unknown(Symbol("index", (evaluate(values, index),))), 64)
            offset, kind = module.offset_of(kind, index)
            address = add(address, offset, 64)
    except ImageError:
        # An element of a type without a known size: somewhere behind the pointer.
        return add(evaluate(values, pointer), unknown(Symbol("index", (evaluate(values, first),))), 64)
    return address


def _extract(_: Module, values: IrValues, instruction: Instruction) -> Value:
    value = evaluate(values, instruction.operands[0])
    for index in instruction.indices:
        known = isinstance(value, tuple) and index < len(value)
        value = (
            value[index]
            if known and isinstance(value, tuple)
            else unknown(Symbol("part", (value,), name=str(index)))
        )
    return value


def _insert(_: Module, values: IrValues, instruction: Instruction) -> Value:
    whole, part = (evaluate(values, operand) for operand in instruction.operands)
    if len(instruction.indices) != 1:
        return unknown(Symbol("aggregate", (whole, part), name=str(instruction.indices)))
    index = instruction.indices[0]
    parts = list(whole) if isinstance(whole, tuple) else []
    while len(parts) <= index:
        parts.append(unknown(Symbol("part", (whole,), name=str(len(parts)))))
    parts[index] = part
    return tuple(parts)


_READERS: Final[dict[str, Callable[[Module, IrValues, Instruction], Value]]] = {
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(("zext", "sext", "trunc", "inttoptr", "ptrtoint", "bitcast", "addrspacecast"), _cast),
    "icmp": _icmp,
    "freeze": _freeze,
    "getelementptr": _gep,
    "extractvalue": _extract,
    "insertvalue": _insert,
}
