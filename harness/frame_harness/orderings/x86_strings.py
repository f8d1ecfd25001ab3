"""Performs the instructions of assembly that are about memory in the first place."""

from __future__ import annotations

from typing import Final

from iced_x86 import Instruction, Mnemonic, Register

from frame_harness.orderings import x86_words as words
from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.ir_asm_memory import ANY_BYTES, By
from frame_harness.orderings.ir_values import Value, scale, single
from frame_harness.orderings.x86_computing import Computing
from frame_harness.orderings.x86_operands import BlockRun
from frame_harness.orderings.x86_registers import UNBOUND, RegisterExt

PUSHED_FLAGS: Final = "flags"


class Strings(Computing):
    """Performs what moves much memory, or orders it."""

    def _nontemporal(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        address, size = self._address(run, instruction), self._size(instruction, 0)
        is_vector = not RegisterExt.is_gpr(instruction.op_register(1))
        value = run.state.fresh("computed") if is_vector else self._read(run, instruction, 1, by)
        order = MemoryOrder.MONOTONIC if size <= 8 else MemoryOrder.PLAIN
        self._memory.store(run.state, by, address, size, value, order, nontemporal=True)

    def _full_fence(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        self._memory.fence(run.state, by, MemoryOrder.SEQ_CST)
        self._harmless(run, instruction, by)

    def _store_fence(self, run: BlockRun, _: Instruction, by: By) -> None:
        self._memory.fence(run.state, by, MemoryOrder.RELEASE)

    def _load_fence(self, run: BlockRun, _: Instruction, by: By) -> None:
        self._memory.fence(run.state, by, MemoryOrder.ACQUIRE)

    def _movsd(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        if instruction.is_string_instruction:
            self._copy(run, instruction, by, 4)
        else:
            self._compute(run, instruction, by)

    def _copy_string(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        self._copy(run, instruction, by, words.COPY_STRING[instruction.mnemonic])

    def _copy(self, run: BlockRun, instruction: Instruction, by: By, width: int) -> None:
        size, order = self._extent(run, instruction, width)
        if size:
            source, target = run.registers.read(Register.RSI), run.registers.read(Register.RDI)
            self._bound_to(source, target)
            self._memory.load(run.state, by, source, size, order)
            value = run.state.fresh("copied")
            self._memory.store(
                run.state, by, target, size, value, MemoryOrder.RELEASE if order.atomic else order
            )
        self._advance(run, instruction, width, Register.RSI, Register.RDI)

    def _store_string(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        width = words.STORE_STRING[instruction.mnemonic]
        size, order = self._extent(run, instruction, width)
        if size:
            target = run.registers.read(Register.RDI)
            self._bound_to(target)
            value = run.registers.read(
                {1: Register.AL, 2: Register.AX, 4: Register.EAX, 8: Register.RAX}[width]
            )
            self._memory.store(
                run.state, by, target, size, value, MemoryOrder.RELEASE if order.atomic else order
            )
        self._advance(run, instruction, width, Register.RDI)

    def _extent(self, run: BlockRun, instruction: Instruction, width: int) -> tuple[int, MemoryOrder]:
        """Return how many bytes a string instruction touches, and how.

        The stores of a repeated one may become visible in any order (SDM vol. 3A, 9.2.4), though not after
        what follows it; a single one is a plain store.
        """
        if not run.registers.forward:
            raise NotUnderstood("the flags that it loads may turn string instructions around")
        if not (instruction.has_rep_prefix or instruction.has_repne_prefix):
            return width, MemoryOrder.ACQUIRE
        count = run.registers.read(Register.RCX)
        if count == UNBOUND:
            raise NotUnderstood("it repeats an instruction as often as rcx says, which it was not given")
        return (count * width if isinstance(count, int) else ANY_BYTES), MemoryOrder.PLAIN

    @staticmethod
    def _advance(run: BlockRun, instruction: Instruction, width: int, *pointers: int) -> None:
        count: Value = 1
        if instruction.has_rep_prefix or instruction.has_repne_prefix:
            count = run.registers.read(Register.RCX)
            run.registers.write(Register.RCX, 0)
        for pointer in pointers:
            run.registers.move(pointer, scale(count, width, 64))

    @staticmethod
    def _bound_to(*addresses: Value) -> None:
        if UNBOUND in addresses:
            raise NotUnderstood("it addresses memory through a register that it was not given")

    def _push(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        is_flags = instruction.mnemonic == Mnemonic.PUSHFQ
        value = run.state.fresh(PUSHED_FLAGS) if is_flags else self._read(run, instruction, 0, by)
        run.registers.move(Register.RSP, -8 & (1 << 64) - 1)
        self._memory.store(run.state, by, run.registers.read(Register.RSP), 8, value)

    def _pop(self, run: BlockRun, instruction: Instruction, by: By) -> None:
        value = self._memory.load(run.state, by, run.registers.read(Register.RSP), 8)
        run.registers.move(Register.RSP, 8)
        if instruction.mnemonic == Mnemonic.POPFQ:
            run.registers.flags = None
            symbol = single(value)
            run.registers.forward = symbol is not None and symbol.kind == PUSHED_FLAGS
        else:
            self._write(run, instruction, 0, value, by)
