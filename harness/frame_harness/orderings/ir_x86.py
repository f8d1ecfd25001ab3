"""Runs a block of assembly on what is known of a path, instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import iced_x86
from iced_x86 import FlowControl, Formatter, FormatterSyntax, Instruction, Mnemonic, OpKind, Register

from frame_harness.orderings import x86_words as words
from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.assembler import CodeSection
from frame_harness.orderings.ir_asm_memory import AsmMemory, By, equality
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_values import Value
from frame_harness.orderings.x86_operands import BlockRun
from frame_harness.orderings.x86_registers import Flags, Registers
from frame_harness.orderings.x86_strings import Strings

MAX_STEPS: Final = 50_000
OPEN_VISITS: Final = 2
_FORMATTER: Final = Formatter(FormatterSyntax.INTEL)


class Processor(Strings):
    """Runs the code of one section."""

    def __init__(self, section: CodeSection, memory: AsmMemory, *, ordered: bool) -> None:
        super().__init__(section, memory, ordered=ordered)
        self._handlers = self._table()

    def run(self, state: State, registers: Registers, begin: int, end: int) -> list[BlockRun]:
        """Return every way through the code from one offset to another.

        Raises:
            NotUnderstood: an instruction on the way whose effect on memory is not known here.
        """
        pending, done, steps = [BlockRun(state, registers, begin)], list[BlockRun](), 0
        while pending:
            run = pending.pop()
            while run.left is None and not run.state.end:
                if run.at == end:
                    run.left = ""
                    break
                pending += self._step(run, begin, end)
                steps += 1
                if steps > MAX_STEPS:
                    raise NotUnderstood(f"it does not come to an end within {MAX_STEPS:,} instructions")
            done.append(run)
        return done

    def _step(self, run: BlockRun, begin: int, end: int) -> list[BlockRun]:
        if not begin <= run.at < end:
            raise NotUnderstood("it jumps to code that is not in the block")
        instruction = self._decode(run, end)
        by = By(_FORMATTER.format(instruction), self._ordered)
        if instruction.flow_control != FlowControl.NEXT and instruction.mnemonic not in words.STOPS:
            return self._jump(run, instruction, by)
        handler = self._handlers.get(instruction.mnemonic)
        if handler is None:
            raise NotUnderstood(f"what `{by.text}` does to memory is not known here")
        return handler(run, instruction, by) or []

    def _table(self) -> dict[int, Callable[[BlockRun, Instruction, By], list[BlockRun] | None]]:
        return {
            **dict.fromkeys(words.COMPUTES, self._compute),
            **dict.fromkeys(words.HARMLESS, self._harmless),
            **dict.fromkeys(words.STOPS, _stop),
            **dict.fromkeys(words.FULL_FENCES, self._full_fence),
            **dict.fromkeys(words.MOVES, self._move),
            **dict.fromkeys([*words.ARITHMETIC, *words.STEPS, *words.SHIFTS], self._arithmetic),
            **dict.fromkeys(words.STORE_STRING, self._store_string),
            **dict.fromkeys(words.COPY_STRING, self._copy_string),
            **dict.fromkeys(words.NON_TEMPORAL, self._nontemporal),
            **dict.fromkeys(words.BIT_UPDATES, self._bit_update),
            Mnemonic.MOVSD: self._movsd, Mnemonic.LEA: self._lea, Mnemonic.BT: self._bit_test,
            Mnemonic.SFENCE: self._store_fence, Mnemonic.LFENCE: self._load_fence,
            Mnemonic.XCHG: self._xchg, Mnemonic.XADD: self._xadd, Mnemonic.CMPXCHG: self._cmpxchg,
            Mnemonic.PUSH: self._push, Mnemonic.PUSHFQ: self._push, Mnemonic.POP: self._pop,
            Mnemonic.POPFQ: self._pop,
        }  # fmt: skip

    def _jump(self, run: BlockRun, instruction: Instruction, by: By) -> list[BlockRun]:
        kind = instruction.flow_control
        if kind == FlowControl.RETURN and instruction.mnemonic == Mnemonic.RET:
            run.left = "return"
            return []
        if kind == FlowControl.UNCONDITIONAL_BRANCH:
            self._go(run, instruction)
            return []
        if kind != FlowControl.CONDITIONAL_BRANCH:
            raise NotUnderstood(f"where `{by.text}` leads is not known here")
        condition = self._condition(run, instruction)
        truth = run.state.truth(condition)
        if truth is None:
            other = run.copy()
            other.state.assume(condition, False)
            run.state.assume(condition, True)
            self._go(run, instruction)
            if run.count(self._at) > OPEN_VISITS:
                run.state.end = "cut"
            return [other]
        if truth:
            self._go(run, instruction)
        return []

    def _condition(self, run: BlockRun, instruction: Instruction) -> Value:
        if instruction.mnemonic == Mnemonic.LOOP:
            run.registers.move(Register.RCX, (1 << 64) - 1)
            flags: Flags | None = Flags("and", 0, 0, run.registers.read(Register.RCX), 64)
            found = flags.holds(iced_x86.ConditionCode.NE) if flags else None
        elif instruction.mnemonic == Mnemonic.JRCXZ:
            found = equality(run.registers.read(Register.RCX), 0, 8)
        else:
            flags = run.registers.flags
            found = flags.holds(instruction.condition_code) if flags else None
        return run.state.fresh("flag") if found is None else found

    def _go(self, run: BlockRun, instruction: Instruction) -> None:
        reference = self._reference(self._immediate)
        if reference is not None:
            run.left = reference.symbol
        elif instruction.op0_kind == OpKind.NEAR_BRANCH64:
            run.at = int(instruction.near_branch_target)
        else:
            raise NotUnderstood("it jumps to an address that it computed")


def _stop(run: BlockRun, _: Instruction, __: By) -> None:
    run.state.end = "panic"
