"""Resolves the operands of instructions, on one way through assembly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import iced_x86
from iced_x86 import Instruction, OpKind, Register

from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.assembler import CodeReference, CodeSection
from frame_harness.orderings.ir_asm_memory import AsmMemory, By
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_values import Symbol, Value, add, scale, unknown
from frame_harness.orderings.x86_registers import UNBOUND, RegisterExt, Registers, full

_SEGMENTS: Final = (int(Register.FS), int(Register.GS))
_NO_VALUE: Final = (int(Register.NONE), int(Register.RIP))


@dataclass
class BlockRun:
    """One way through the block so far."""

    state: State
    registers: Registers
    at: int
    visits: dict[int, int] = field(default_factory=dict)
    left: str | None = None
    """How it was left: None while it runs, else the label, `return`, or nothing for its end."""

    def copy(self) -> BlockRun:
        """Return an independent way that goes on from here; it has not been left."""
        return BlockRun(self.state.copy(), self.registers.copy(), self.at, dict(self.visits))

    def count(self, event: int) -> int:
        """Count an event of this way; return how often it has happened."""
        self.visits[event] = self.visits.get(event, 0) + 1
        return self.visits[event]


class Operands:
    """Operands of the instruction at `_at` in a section.

    Args:
        ordered: whether the compiler keeps its own accesses on their sides of the block.
    """

    def __init__(self, section: CodeSection, memory: AsmMemory, *, ordered: bool) -> None:
        self._section = section
        self._memory = memory
        self._ordered = ordered
        self._at = -1
        self._displacement = self._immediate = 0

    def _decode(self, run: BlockRun, end: int) -> Instruction:
        """Take the next instruction of a run.

        Raises:
            NotUnderstood: there is none.
        """
        decoder = iced_x86.Decoder(64, self._section.code[run.at : end], ip=run.at)
        instruction = decoder.decode()
        if instruction.is_invalid:
            raise NotUnderstood("it has bytes that are no instruction")
        offsets = decoder.get_constant_offsets(instruction)
        self._at, run.at = run.at, instruction.next_ip
        self._displacement, self._immediate = offsets.displacement_offset, offsets.immediate_offset
        return instruction

    def _reference(self, offset: int) -> CodeReference | None:
        return self._section.references.get(self._at + offset) if offset else None

    def _address(self, run: BlockRun, instruction: Instruction) -> Value:
        if int(instruction.memory_segment) in _SEGMENTS:
            raise NotUnderstood("it addresses memory through a segment, whose base nobody here knows")
        reference = self._reference(self._displacement)
        if reference is not None:
            behind = instruction.next_ip - self._at - self._displacement
            offset = reference.addend + (behind if reference.relative else 0)
            address = add(unknown(Symbol("global", name=reference.symbol)), offset, 64)
        elif int(instruction.memory_base) == int(Register.RIP):
            raise NotUnderstood("it addresses memory by its own place")
        else:
            address = int(instruction.memory_displacement)
        parts = [(instruction.memory_base, 1), (instruction.memory_index, instruction.memory_index_scale)]
        for register, factor in parts:
            if int(register) not in _NO_VALUE:
                value = run.registers.read(register)
                if value == UNBOUND:
                    name = _name(register)
                    raise NotUnderstood(f"it addresses memory through {name}, which it was not given")
                address = add(address, scale(value, factor, 64), 64)
        return address

    def _size(self, instruction: Instruction, index: int) -> int:
        if instruction.op_kind(index) == OpKind.REGISTER:
            return int(RegisterExt.size(instruction.op_register(index)))
        if instruction.op_kind(index) == OpKind.MEMORY:
            return int(iced_x86.MemorySizeExt.size(instruction.memory_size))
        # An immediate is as wide as what it meets; alone it is pushed.
        return self._size(instruction, 0) if index else 8

    def _read(self, run: BlockRun, instruction: Instruction, index: int, by: By) -> Value:
        kind = instruction.op_kind(index)
        if kind == OpKind.REGISTER:
            return run.registers.read(instruction.op_register(index))
        if kind == OpKind.MEMORY:
            size = self._size(instruction, index)
            return self._memory.load(run.state, by, self._address(run, instruction), size)
        reference = self._reference(self._immediate)
        if reference is not None:
            return add(unknown(Symbol("global", name=reference.symbol)), reference.addend, 64)
        return int(instruction.immediate(index)) & ((1 << self._size(instruction, 0) * 8) - 1)

    def _write(self, run: BlockRun, instruction: Instruction, index: int, value: Value, by: By) -> None:
        if instruction.op_kind(index) == OpKind.REGISTER:
            run.registers.write(instruction.op_register(index), value)
        else:
            size = self._size(instruction, index)
            self._memory.store(run.state, by, self._address(run, instruction), size, value)


def _name(register: int) -> str:
    names = {value: name for name, value in vars(Register).items() if isinstance(value, int)}
    return str(names.get(full(register), register)).lower()
