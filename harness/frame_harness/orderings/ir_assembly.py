"""Performs the assembly of a path: inline blocks, functions written in assembly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from frame_harness.orderings.asm_block import AsmBlock, NotUnderstood, bind
from frame_harness.orderings.assembler import BEGIN, Assemble, Assembled
from frame_harness.orderings.ir_access import Accesses
from frame_harness.orderings.ir_asm_memory import AsmMemory
from frame_harness.orderings.ir_compute import evaluate
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_syntax import Instruction
from frame_harness.orderings.ir_text import Global, bits_of, split_top
from frame_harness.orderings.ir_values import Value
from frame_harness.orderings.ir_x86 import Processor
from frame_harness.orderings.llvm_ir import Module
from frame_harness.orderings.x86_operands import BlockRun
from frame_harness.orderings.x86_registers import Registers, number_of

_END: Final = f"{BEGIN}_end"
_ARGUMENTS: Final = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")  # System V ABI, AMD64 supplement, 3.2.3
_RESULT: Final = "rax"


@dataclass(frozen=True)
class _Outside:
    """A function written in assembly: the code of its section, where it begins in it."""

    assembled: Assembled
    section: int
    begin: int


class Assembly:
    """Runs assembly; a block that is not understood becomes an access of the kind `OPAQUE`."""

    def __init__(self, module: Module, accesses: Accesses, assemble: Assemble) -> None:
        self._module = module
        self._accesses = accesses
        self._assemble = assemble

    def inline(self, state: State, instruction: Instruction) -> list[State]:
        """Perform an `asm!`."""
        block = instruction.block
        values = [
            evaluate(state.frame.values, operand, bits_of(kind))
            for operand, kind in zip(instruction.operands, block.types, strict=True)
        ]
        try:
            runs, outputs, labels = self._run(state.copy(), block, instruction, values)
            if len(outputs) != len(_parts(instruction.type)):
                raise NotUnderstood("it has results of types that are not known here")
            places = [self._where_to(run, instruction, labels) for run in runs]
        except NotUnderstood as error:
            self._accesses.opaque(state, f"`{block.excerpt}`: {error}", values)
            return self._after_opaque(state, instruction)
        return self._spread(state, [
            self._left(run, outputs, instruction, place) for run, place in zip(runs, places, strict=True)
        ])  # fmt: skip

    def _run(
        self, state: State, block: AsmBlock, instruction: Instruction, values: list[Value]
    ) -> tuple[list[BlockRun], tuple[str, ...], dict[str, int]]:
        names = tuple(operand.name if isinstance(operand, Global) else "" for operand in instruction.operands)
        bound = bind(block, names)
        text = f"{BEGIN}:\n{bound.text}\n{_END}:\n"
        assembled = self._assemble(text, block.intel)
        section, begin = assembled.symbols[BEGIN]
        end_section, end = assembled.symbols[_END]
        if section != end_section:
            raise NotUnderstood("it lies in several sections")
        registers = self._registers(state)
        for name, value, kind in zip(bound.inputs, values, block.types, strict=True):
            if name:
                registers.held[number_of(name)] = (value, max(1, bits_of(kind) // 8))
        memory = AsmMemory(self._accesses)
        processor = Processor(assembled.sections[section], memory, ordered=block.barrier)
        return processor.run(state, registers, begin, end), bound.outputs, bound.labels

    @staticmethod
    def _registers(state: State) -> Registers:
        registers = Registers()
        registers.held[number_of("rsp")] = (state.fresh("alloca"), 8)
        return registers

    @staticmethod
    def _where_to(run: BlockRun, instruction: Instruction, labels: dict[str, int]) -> str | None:
        """Return the IR's label that a run leads to; None for the next instruction."""
        if run.state.end:
            return None
        if run.left == "":
            return instruction.labels[0] if instruction.labels else None
        if run.left not in labels:
            raise NotUnderstood(f"it leaves for {run.left}, whose code is elsewhere")
        return instruction.labels[1 + labels[run.left]]

    def _left(
        self, run: BlockRun, outputs: tuple[str, ...], instruction: Instruction, place: str | None
    ) -> State:
        if run.state.end:
            return run.state
        kinds = _parts(instruction.type)
        values = tuple(
            run.registers.read_as(number_of(name), max(1, bits_of(kind) // 8))
            for name, kind in zip(outputs, kinds, strict=True)
        )
        self._define(run.state, values[0] if len(values) == 1 else values, place)
        return run.state

    @staticmethod
    def _define(state: State, value: Value, place: str | None) -> None:
        state.define(value)
        if place is not None:
            frame = state.frame
            frame.came_from, frame.block, frame.at = frame.block.label, frame.function.blocks[place], 0

    def _after_opaque(self, state: State, instruction: Instruction) -> list[State]:
        result = state.fresh("assembly")
        others = []
        for place in instruction.labels[1:]:
            other = state.copy()
            self._define(other, result, place)
            others.append(other)
        self._define(state, result, instruction.labels[0] if instruction.labels else None)
        return others

    @staticmethod
    def _spread(state: State, outcomes: list[State]) -> list[State]:
        """Let `state` go the first way; return the others."""
        state.become(outcomes[0])
        return outcomes[1:]

    # ---- Functions

    def defines(self, symbol: str) -> bool:
        """Tell whether a function is written in assembly in this module."""
        return (
            bool(symbol)
            and re.search(rf"^\s*\"?{re.escape(symbol)}\"?:", self._module.assembly, re.MULTILINE) is not None
        )

    def call(self, state: State, symbol: str, arguments: list[Value]) -> list[State]:
        """Perform a call of a function that `defines` knows, by the ABI of C."""
        try:
            found = self._outside(symbol)
            runs = self._run_outside(state.copy(), found, arguments)
        except NotUnderstood as error:
            self._accesses.opaque(state, f"the function `{symbol}`, written in assembly: {error}", arguments)
            state.define(state.fresh("assembly"))
            return []
        for run in runs:
            if not run.state.end:
                run.state.define(run.registers.read(number_of(_RESULT)))
        return self._spread(state, [run.state for run in runs])

    @cached_property
    def _all(self) -> Assembled:
        return self._assemble(self._module.assembly, False)

    def _outside(self, symbol: str) -> _Outside:
        if symbol not in self._all.symbols:
            raise NotUnderstood("its code was not found")
        return _Outside(self._all, *self._all.symbols[symbol])

    def _run_outside(self, state: State, found: _Outside, arguments: list[Value]) -> list[BlockRun]:
        if len(arguments) > len(_ARGUMENTS):
            raise NotUnderstood("it takes arguments on the stack")
        registers = self._registers(state)
        for name, value in zip(_ARGUMENTS, arguments, strict=False):
            registers.held[number_of(name)] = (value, 8)
        for name in ("rbx", "rbp", "r12", "r13", "r14", "r15"):
            registers.held[number_of(name)] = (state.fresh("callers"), 8)
        section = found.assembled.sections[found.section]
        processor = Processor(section, AsmMemory(self._accesses), ordered=True)
        runs = processor.run(state, registers, found.begin, len(section.code))
        if any(run.left != "return" and not run.state.end for run in runs):
            raise NotUnderstood("it does not end in `ret`")
        return runs


def _parts(kind: str) -> list[str]:
    if kind in ("void", ""):
        return []
    return split_top(kind.strip("{} ")) if kind.startswith("{") else [kind]
