"""Runs a block of assembly on what is known of a path, instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import iced_x86
from iced_x86 import FlowControl, Formatter, FormatterSyntax, Instruction, Mnemonic, OpKind, Register

from frame_harness.orderings import x86_words as words
from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.assembler import CodeSection
from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.ir_asm_memory import AsmMemory, By, equality
from frame_harness.orderings.ir_local import ANY_BYTES
from frame_harness.orderings.ir_state import State
from frame_harness.orderings.ir_values import Value, scale, single
from frame_harness.orderings.x86_computing import Computing
from frame_harness.orderings.x86_operands import BlockRun
from frame_harness.orderings.x86_registers import UNBOUND, Flags, RegisterExt, Registers

MAX_STEPS: Final = 50_000
MAX_WAYS: Final = 1_000
OPEN_VISITS: Final = 2
PUSHED_FLAGS: Final = "flags"
_FORMATTER: Final = Formatter(FormatterSyntax.INTEL)


class Processor(Computing):
    """Runs the code of one section."""

    def __init__(self, section: CodeSection, memory: AsmMemory, *, ordered: bool) -> None:
        super().__init__(section, memory, ordered=ordered)
        self._handlers = self._table()
        self._seen = set[int]()

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
            if len(pending) + len(done) > MAX_WAYS:
                raise NotUnderstood(f"there are more than {MAX_WAYS:,} ways through it")
        self._look_behind([run.at for run in done if run.state.end == "cut" and run.left is None], begin, end)
        return done

    def _look_behind(self, cut: list[int], begin: int, end: int) -> None:
        """Look at what ways that were cut would have come to, and no other one did.

        Raises:
            NotUnderstood: an access to memory, or what orders it.
        """
        reached = set[int]()
        while cut:
            at = cut.pop()
            if at in reached or not begin <= at < end:
                continue
            reached.add(at)
            decoder = iced_x86.Decoder(64, self._section.code[at:end], ip=at)
            instruction = decoder.decode()
            if at not in self._seen and self._is_noticed(instruction):
                text = _FORMATTER.format(instruction)
                raise NotUnderstood(f"`{text}` comes after more rounds of a loop than are walked")
            kind, place = instruction.flow_control, decoder.get_constant_offsets(instruction).immediate_offset
            if kind in (FlowControl.NEXT, FlowControl.CONDITIONAL_BRANCH):
                cut.append(int(instruction.next_ip))
            if instruction.op0_kind == OpKind.NEAR_BRANCH64 and at + place not in self._section.references:
                cut.append(int(instruction.near_branch_target))

    def _is_noticed(self, instruction: Instruction) -> bool:
        if instruction.flow_control != FlowControl.NEXT or instruction.mnemonic in words.HARMLESS:
            return False
        operands = [instruction.op_kind(index) for index in range(instruction.op_count)]
        return (
            instruction.mnemonic not in self._handlers
            or instruction.is_string_instruction
            or instruction.mnemonic in (*words.FULL_FENCES, Mnemonic.SFENCE, Mnemonic.LFENCE)
            or (OpKind.MEMORY in operands and instruction.mnemonic != Mnemonic.LEA)
        )

    def _step(self, run: BlockRun, begin: int, end: int) -> list[BlockRun]:
        if not begin <= run.at < end:
            raise NotUnderstood("it jumps to code that is not in the block")
        self._seen.add(run.at)
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
            for way, taken in ((run, 1), (other, 0)):
                if way.count(2 * self._at + taken) > OPEN_VISITS:
                    way.state.end = "cut"
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

    # What moves much memory, or orders it

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


def _stop(run: BlockRun, _: Instruction, __: By) -> None:
    run.state.end = "panic"
