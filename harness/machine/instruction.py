"""Tells how a single x86-64 instruction goes about memory.

To other CPUs an instruction that loads, then stores, is two accesses: only a LOCK prefix, or XCHG with
memory, makes one of them (Intel SDM vol. 3A, 9.1.2 "Bus Locking").
"""

from __future__ import annotations

from typing import Final

import iced_x86
from iced_x86 import Mnemonic, OpAccess, Register

LONGEST: Final = 15
"""Bytes: Intel SDM vol. 2A, 2.3.11."""
_TWO_ACCESSES: Final = frozenset({OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE})
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


def is_private(code: bytes) -> bool:
    """Tell whether an instruction touches no memory but its CPU's stack: nobody else can see when it is done.

    What is addressed by another register than RSP may be anywhere. What a step does to devices, or leaves on
    its stack for another CPU to find, is not seen.

    Args:
        code: the instruction, perhaps with bytes behind it; what is none at all is not private.
    """
    instruction = _decoded(code)
    if instruction.is_invalid:
        return False
    return all(memory.base == Register.RSP for memory in _FACTORY.info(instruction).used_memory())


def _decoded(code: bytes) -> iced_x86.Instruction:
    return iced_x86.Decoder(64, code).decode()
