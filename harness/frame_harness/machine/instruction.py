"""Tells how a single x86-64 instruction goes about memory.

To other CPUs an instruction that loads, then stores, is two accesses: only a LOCK prefix, or XCHG with
memory, makes one of them (Intel SDM vol. 3A, 9.1.2 "Bus Locking").
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Final

import iced_x86
from iced_x86 import FlowControl, Mnemonic, OpAccess, OpKind, Register

from frame_harness.base.units import Vaddr

LONGEST: Final = 15
"""Bytes: Intel SDM vol. 2A, 2.3.11."""
_TWO_ACCESSES: Final = frozenset({OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE})
_LOADS: Final = _TWO_ACCESSES | {OpAccess.READ, OpAccess.COND_READ}
_STORES: Final = _TWO_ACCESSES | {OpAccess.WRITE, OpAccess.COND_WRITE}
_LONGEST_STRETCH: Final = 64
_MOST_ROUNDS: Final = 4096
_STACK: Final = frozenset({Register.RSP})
_STACK_AND_FRAME: Final = _STACK | {Register.RBP}
_FILLS: Final = frozenset({Mnemonic.STOSB, Mnemonic.STOSW, Mnemonic.STOSD, Mnemonic.STOSQ})
_COPIES: Final = frozenset({Mnemonic.MOVSB, Mnemonic.MOVSW, Mnemonic.MOVSD, Mnemonic.MOVSQ})
_PLAIN: Final = frozenset({OpKind.MEMORY_ESRDI, OpKind.MEMORY_SEG_RSI, OpKind.REGISTER})
_DIRECTION: Final = 1 << 10  # DF of RFLAGS, Intel SDM vol. 1, 3.4.3
_FACTORY: Final = iced_x86.InstructionInfoFactory()


def unlocked_width(code: bytes) -> int | None:
    """Return how many bytes an instruction loads, then stores; None when it does not, or does both at once.

    Args:
        code: the instruction, perhaps with bytes behind it.
    """
    instruction = _decoded(code)
    if instruction.has_lock_prefix or instruction.mnemonic == Mnemonic.XCHG:
        return None
    for memory in _FACTORY.info(instruction).used_memory():
        if memory.access in _TWO_ACCESSES:
            return int(iced_x86.MemorySizeExt.size(memory.memory_size)) or None
    return None


def is_private(code: bytes, *, framed: bool = False) -> bool:
    """Tell whether an instruction touches no memory but its CPU's stack: nobody else can see when it is done.

    What is addressed by another register may be anywhere. What a step does to devices, or leaves on its stack
    for another CPU to find, is not seen.

    Args:
        code: the instruction, perhaps with bytes behind it; what is none at all is not private.
        framed: RBP leads to the stack, too: the function keeps its frame pointer there.
    """
    instruction = _decoded(code)
    if instruction.is_invalid:
        return False
    stack = _STACK_AND_FRAME if framed else _STACK
    return all(memory.base in stack for memory in _FACTORY.info(instruction).used_memory())


def _decoded(code: bytes, at: Vaddr = Vaddr(0)) -> iced_x86.Instruction:
    return iced_x86.Decoder(64, code, ip=at).decode()


@dataclass(frozen=True)
class Stretch:
    """Private instructions that a CPU executes one after the other, whatever memory and registers hold."""

    addresses: tuple[Vaddr, ...]
    """Of the instructions, in order."""
    ends: tuple[Vaddr, ...]
    """Where the CPU is behind them; two places where the last one is a conditional branch."""


def private_stretch(
    code: Callable[[Vaddr], bytes],
    at: Vaddr,
    stops: Container[Vaddr],
    framed: Callable[[Vaddr], bool] = lambda _: False,
) -> Stretch:
    """Follow the code from an address as far as it is private and leads to one place, or to one of two.

    Args:
        code: the bytes at an address, at least one instruction where there is one.
        stops: addresses that a stretch ends at; the first one is no stop.
        framed: whether RBP leads to the stack at an address.
    """
    addresses: list[Vaddr] = []
    while len(addresses) < _LONGEST_STRETCH:
        here = code(at)
        instruction = iced_x86.Decoder(64, here, ip=at).decode()
        private = is_private(here) or (is_private(here, framed=True) and framed(at))
        if (addresses and at in stops) or not private or instruction.is_privileged:
            break  # a privileged one may wait, or change what may interrupt it
        ends = _successors(instruction)
        # One that leads back would stop the CPU where it starts from, or in the middle.
        if not ends or at in ends or any(end in addresses for end in ends):
            break
        addresses.append(at)
        if len(ends) > 1:
            return Stretch(tuple(addresses), ends)
        at = ends[0]
    return Stretch(tuple(addresses), (at,))


def _successors(instruction: iced_x86.Instruction) -> tuple[Vaddr, ...]:
    """Where a CPU may be behind an instruction; nothing where memory or a register says it, or an event."""
    following, target = Vaddr(instruction.next_ip), Vaddr(instruction.near_branch_target)
    match instruction.flow_control:
        case FlowControl.NEXT:
            return (following,)
        case FlowControl.UNCONDITIONAL_BRANCH | FlowControl.CALL if instruction.near_branch_target:
            return (target,)
        case FlowControl.CONDITIONAL_BRANCH if target != following:
            return (following, target)
    return ()


@dataclass(frozen=True)
class Repetition:
    """All rounds of a repeated instruction that a CPU is about to execute."""

    rounds: int
    behind: Vaddr
    """Where the CPU is then."""
    touched: tuple[tuple[Vaddr, int], ...]
    """First address and number of bytes of what it may load from and store to."""


def repetition(
    code: bytes, at: Vaddr, registers: Callable[[], Mapping[int, int]], flags: Callable[[], int]
) -> Repetition | None:
    """Return the rounds of STOS or MOVS with REP; None of any other instruction.

    None, too, where they are too many, go down, or are counted or addressed otherwise than in 64-bit code.

    Args:
        code: the instruction, perhaps with bytes behind it.
        at: its address.
        registers: by their numbers in iced-x86, as they are before it; not asked for where nothing repeats.
        flags: RFLAGS, likewise.
    """
    instruction = _decoded(code, at)
    if not instruction.has_rep_prefix or instruction.mnemonic not in _FILLS | _COPIES:
        return None
    places = {instruction.op_kind(operand) for operand in range(instruction.op_count)}
    if not places <= _PLAIN or instruction.segment_prefix != Register.NONE or flags() & _DIRECTION:
        return None
    before = registers()
    rounds = before[Register.RCX]
    if not 0 < rounds <= _MOST_ROUNDS:
        return None
    reach = rounds * int(iced_x86.MemorySizeExt.size(instruction.memory_size))
    pointers = (Register.RDI, Register.RSI) if instruction.mnemonic in _COPIES else (Register.RDI,)
    touched = tuple((Vaddr(before[one]), reach) for one in pointers)
    return Repetition(rounds, Vaddr(instruction.next_ip), touched)


def stays(code: bytes, at: Vaddr) -> bool:
    """Tell whether a CPU that executes an instruction may stand at the same one again.

    Args:
        code: the instruction, perhaps with bytes behind it; where nothing can be read it is empty.
        at: its address.
    """
    instruction = iced_x86.Decoder(64, code, ip=at).decode()
    repeated = instruction.is_string_instruction and (
        instruction.has_rep_prefix or instruction.has_repne_prefix
    )
    return instruction.is_invalid or repeated or instruction.near_branch_target == at


@dataclass(frozen=True)
class Touch:
    """One access of an instruction to memory; what loads, then stores in one go is one access."""

    vaddr: Vaddr
    width: int
    reads: bool
    writes: bool


def touches(code: bytes, at: Vaddr, registers: Mapping[int, int]) -> tuple[Touch, ...]:
    """Return the accesses of an instruction that is about to be executed, in the order that others see.

    A repeated string instruction counts for its next element.

    Args:
        code: the instruction, perhaps with bytes behind it; what is none at all has no accesses.
        at: its address, which an operand may be relative to.
        registers: by their numbers in iced-x86, as they are before the instruction.
    """
    instruction = _decoded(code, at)
    if instruction.is_invalid:
        return ()
    found: list[Touch] = []
    for memory in _FACTORY.info(instruction).used_memory():
        base = 0 if memory.base in (Register.NONE, Register.RIP) else registers.get(memory.base, 0)
        index = 0 if memory.index == Register.NONE else registers.get(memory.index, 0) * memory.scale
        vaddr = Vaddr((base + index + memory.displacement) & (2**64 - 1))
        width = int(iced_x86.MemorySizeExt.size(memory.memory_size)) or 1
        reads, writes = memory.access in _LOADS, memory.access in _STORES
        if reads and writes and not (instruction.has_lock_prefix or instruction.mnemonic == Mnemonic.XCHG):
            found += [Touch(vaddr, width, True, False), Touch(vaddr, width, False, True)]
        elif reads or writes:
            found.append(Touch(vaddr, width, reads, writes))
    return tuple(found)
