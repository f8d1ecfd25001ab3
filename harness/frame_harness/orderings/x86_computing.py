"""Performs the instructions of assembly that compute, or update memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import iced_x86
from iced_x86 import Instruction, Mnemonic, OpKind, Register

from frame_harness.orderings import x86_words as words
from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.ir_asm_memory import By, equality
from frame_harness.orderings.ir_values import Symbol, Value, binary, unknown
from frame_harness.orderings.x86_operands import BlockRun, Operands
from frame_harness.orderings.x86_registers import Flags, RegisterExt

FAILURES: Final = 1  # of one CMPXCHG on one way: a second try shows all that a third one would
_INFO = iced_x86.InstructionInfoFactory()


class Computing(Operands):
    """Performs moves, arithmetic and updates, in one step when they are locked.

    What needs no known result is told by its operands alone.
    """

    def _move(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        registers = [instruction.op_register(i) for i in (0, 1) if instruction.op_kind(i) == OpKind.REGISTER]
        special = [r for r in registers if not RegisterExt.is_gpr(r)]
        if special and special[0] == (registers[0] if instruction.op_kind(0) == OpKind.REGISTER else None):
            raise NotUnderstood(f"`{by.text}` may change what addresses mean")
        value = run.state.fresh("special") if special else self._read(run, instruction, 1, by)
        if instruction.mnemonic != Mnemonic.MOV and not isinstance(value, int):
            value = unknown(Symbol("extended", (value,), name=by.text.split()[0]))
        elif instruction.mnemonic in (Mnemonic.MOVSX, Mnemonic.MOVSXD) and isinstance(value, int):
            bits = self._size(instruction, 1) * 8
            value -= (value >> (bits - 1) & 1) << bits
        self._write(run, instruction, 0, value, by)

    def _lea(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        self._write(run, instruction, 0, self._address(run, instruction), by)

    def _arithmetic(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        bits = self._size(instruction, 0) * 8
        name = words.ARITHMETIC.get(instruction.mnemonic, "")
        op = {"cmp": "sub", "test": "and"}.get(name, name)
        op = op or words.STEPS.get(instruction.mnemonic) or words.SHIFTS[instruction.mnemonic]
        right: Value = 1 if instruction.mnemonic in words.STEPS else self._read(run, instruction, 1, by)
        locked = instruction.has_lock_prefix
        same = op in ("xor", "sub") and _is_one_register(instruction)
        if same:
            left: Value = 0
            right = 0
        elif locked:
            left = self._memory.found(run.state, self._address(run, instruction), bits // 8)
        else:
            left = self._read(run, instruction, 0, by)
        result = binary(op, left, right, bits)
        if locked:
            self._memory.update(run.state, by, self._address(run, instruction), bits // 8, result, left)
        elif name not in ("cmp", "test"):
            self._write(run, instruction, 0, result, by)
        # INC, DEC leave the carry flag as it was.
        kind = "step" if instruction.mnemonic in words.STEPS else op
        run.registers.flags = Flags(kind, left, right, result, bits)

    def _compute(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        """Perform what only computes: its results are unknown, what it touches in memory is noted."""
        known = self._conditional(run, instruction)
        if known is not None:
            self._write(run, instruction, 0, known, by)
            return
        info = _INFO.info(instruction)
        if instruction.has_lock_prefix:
            address, size = self._address(run, instruction), self._size(instruction, 0)
            found = self._memory.found(run.state, address, size)
            self._memory.update(run.state, by, address, size, run.state.fresh("update"), found)
        else:
            self._touch(run, instruction, by)
        for used in info.used_registers():
            if used.access not in (iced_x86.OpAccess.READ, iced_x86.OpAccess.COND_READ):
                run.registers.write(used.register, run.state.fresh("computed"))
        if instruction.rflags_modified:
            run.registers.flags = None

    def _touch(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        for index in range(instruction.op_count):
            if instruction.op_kind(index) != OpKind.MEMORY:
                continue
            size = int(iced_x86.MemorySizeExt.size(instruction.memory_size))
            access = _INFO.info(instruction).op_access(index)
            wide = MemoryOrder.PLAIN if size > 8 else None
            address = self._address(run, instruction)
            if access not in (
                iced_x86.OpAccess.WRITE,
                iced_x86.OpAccess.COND_WRITE,
                iced_x86.OpAccess.NO_MEM_ACCESS,
            ):
                self._memory.load(run.state, by, address, size, wide or MemoryOrder.ACQUIRE)
            if access in (
                iced_x86.OpAccess.WRITE, iced_x86.OpAccess.READ_WRITE, iced_x86.OpAccess.COND_WRITE,
                iced_x86.OpAccess.READ_COND_WRITE,
            ):  # fmt: skip
                value = run.state.fresh("computed")
                self._memory.store(run.state, by, address, size, value, wide or MemoryOrder.RELEASE)

    def _conditional(self, run: BlockRun, instruction: Instruction) -> Value | None:
        """Return what a SETcc stores, when the flags tell."""
        flags, condition = run.registers.flags, instruction.condition_code
        is_set = instruction.op_count == 1
        return flags.holds(condition) if flags and condition and is_set else None

    def _harmless(self, run: BlockRun, instruction: Instruction, _: By) -> None:
        for used in _INFO.info(instruction).used_registers():
            if used.access not in (iced_x86.OpAccess.READ, iced_x86.OpAccess.COND_READ):
                run.registers.write(used.register, run.state.fresh("computed"))

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


def _is_one_register(instruction: Instruction) -> bool:
    """Whether both operands are the same register."""
    kinds = (instruction.op_kind(0), instruction.op_kind(1))
    return kinds == (OpKind.REGISTER, OpKind.REGISTER) and (
        instruction.op_register(0) == instruction.op_register(1)
    )
