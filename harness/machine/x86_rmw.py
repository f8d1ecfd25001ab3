"""Tells x86-64 instructions that load, then store, the same memory without the bus lock.

To other CPUs such an instruction is a load followed by a store: only a LOCK prefix, or XCHG with memory,
makes one step of both (Intel SDM vol. 3A, 9.1.2 "Bus Locking"). Opcodes: vol. 2, appendix A.
"""

from __future__ import annotations

from typing import Final

LOCK: Final = 0xF0
OPERAND_SIZE: Final = 0x66
_PREFIXES: Final = frozenset({LOCK, OPERAND_SIZE, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65})
_REX: Final = range(0x40, 0x50)
_REX_W: Final = 8
# ADD, OR, ADC, SBB, AND, SUB, XOR with memory as the destination, from a register; then immediates, shifts,
# NOT and NEG, INC and DEC. Of all of these bit 0 tells bytes from words.
_ONE_BYTE: Final = frozenset(
    [op + low for op in range(0x00, 0x38, 8) for low in (0, 1)]
    + [0x80, 0x81, 0x83, 0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF]
)
# BTS, BTR, BTC (by register, by immediate), CMPXCHG, XADD
_TWO_BYTES: Final = frozenset({0xAB, 0xB3, 0xBB, 0xBA, 0xB0, 0xB1, 0xC0, 0xC1})
_BYTE_FORMS: Final = frozenset({0xB0, 0xC0})


def unlocked_width(code: bytes) -> int | None:
    """Return how many bytes an instruction loads, then stores; None when it does not, or does both at once.

    Args:
        code: the instruction, perhaps with bytes behind it. That it writes memory is for the caller to know.
    """
    at = 0
    prefixes = set()
    while at < len(code) and code[at] in _PREFIXES:
        prefixes.add(code[at])
        at += 1
    rex = 0
    if at < len(code) and code[at] in _REX:
        rex = code[at]
        at += 1
    if LOCK in prefixes or at + 1 >= len(code):
        return None
    opcode = code[at]
    if opcode == 0x0F:
        known, byte = code[at + 1] in _TWO_BYTES, code[at + 1] in _BYTE_FORMS
    else:
        known, byte = opcode in _ONE_BYTE, opcode & 1 == 0
    if not known:
        return None
    if byte:
        return 1
    if rex & _REX_W:
        return 8
    return 2 if OPERAND_SIZE in prefixes else 4
