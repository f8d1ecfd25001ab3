"""Performs the instructions of assembly that update memory, in one step when they are locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iced_x86 import Instruction, Mnemonic, OpKind, Register

from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.ir_asm_memory import By, equality
from frame_harness.orderings.ir_values import Value, binary
from frame_harness.orderings.x86_operands import BlockRun, Operands
from frame_harness.orderings.x86_registers import Flags

FAILURES: Final = 1  # of one CMPXCHG on one way: a second try shows all that a third one would


class Updates(Operands):
    """Performs XCHG, XADD, CMPXCHG and what sets single bits."""

    def _xchg(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        memory = next((i for i in (0, 1) if instruction.op_kind(i) == OpKind.MEMORY), None)
        if memory is None:
            values = [self._read(run, instruction, index, by) for index in (0, 1)]
            for index, value in enumerate(reversed(values)):
                self._write(run, instruction, index, value, by)
            return
        self._swap(run, instruction, by, memory, 1 - memory, lambda _, new: new)

    def _xadd(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        bits = self._size(instruction, 0) * 8
        if instruction.has_lock_prefix:
            self._swap(run, instruction, by, 0, 1, lambda old, more: binary("add", old, more, bits))
            return
        old, more = (self._read(run, instruction, index, by) for index in (0, 1))
        self._write(run, instruction, 1, old, by)
        self._write(run, instruction, 0, binary("add", old, more, bits), by)
        run.registers.flags = None

    def _swap(
        self,
        run: BlockRun,
        instruction: Instruction,
        by: By,
        memory: int,
        register: int,
        change: Callable[[Value, Value], Value],
    ) -> None:
        address, size = self._address(run, instruction), self._size(instruction, memory)
        old = self._memory.found(run.state, address, size)
        new = change(old, self._read(run, instruction, register, by))
        self._memory.update(run.state, by, address, size, new, old)
        self._write(run, instruction, register, old, by)
        if instruction.mnemonic == Mnemonic.XADD:
            run.registers.flags = Flags("add", old, 0, new, size * 8)

    def _bit_update(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        self._bit_test(run, instruction, by, reads=False)
        size = self._size(instruction, 0)
        fresh = run.state.fresh("update")
        if instruction.has_lock_prefix:
            address = self._address(run, instruction)
            found = self._memory.found(run.state, address, size)
            self._memory.update(run.state, by, address, size, fresh, found)
        else:
            self._read(run, instruction, 0, by)
            self._write(run, instruction, 0, fresh, by)

    def _bit_test(self, run: BlockRun, instruction: Instruction, by: By, *, reads: bool = True) -> None:
        if instruction.op_kind(0) == OpKind.MEMORY and instruction.op_kind(1) == OpKind.REGISTER:
            raise NotUnderstood(f"`{by.text}` addresses memory by a bit's number")
        if reads:
            self._read(run, instruction, 0, by)
        run.registers.flags = None

    def _cmpxchg(self, run: BlockRun, instruction: Instruction, by: By) -> list[BlockRun]:
        size = self._size(instruction, 0)
        accumulator = {1: Register.AL, 2: Register.AX, 4: Register.EAX, 8: Register.RAX}[size]
        expected = run.registers.read(accumulator)
        new = self._read(run, instruction, 1, by)
        if instruction.op_kind(0) == OpKind.REGISTER:
            raise NotUnderstood(f"`{by.text}` on a register is not known here")
        address = self._address(run, instruction)
        locked = instruction.has_lock_prefix
        if locked:
            found = self._memory.found(run.state, address, size)
        else:
            found = self._memory.load(run.state, by, address, size)
        equal = equality(found, expected, size)
        truth = run.state.truth(equal)
        other: list[BlockRun] = []
        if truth is not True:
            failed = run if truth is False else run.copy()
            self._refused(failed, by, address, size, found, equal, accumulator, locked=locked)
            if truth is False:
                return []
            other = [failed]
        run.state.assume(equal, True)
        if locked:
            self._memory.update(run.state, by, address, size, new, expected)
        else:
            self._memory.store(run.state, by, address, size, new)
        run.registers.flags = Flags("equal", 1, 0, 0, 1)
        return other

    def _refused(
        self,
        run: BlockRun,
        by: By,
        address: Value,
        size: int,
        found: Value,
        equal: Value,
        accumulator: int,
        *,
        locked: bool,
    ) -> None:
        run.state.assume(equal, False)
        if locked:
            self._memory.update(run.state, by, address, size, None, found)
        run.registers.write(accumulator, found)
        run.registers.flags = Flags("equal", 0, 0, 0, 1)
        if run.count(-1 - self._at) > FAILURES:
            run.state.end = "cut"
