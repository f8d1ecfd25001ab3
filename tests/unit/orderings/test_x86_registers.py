"""Proves what registers hold after writes of each width, and which conditions known flags decide."""

from __future__ import annotations

import pytest
from iced_x86 import ConditionCode, Mnemonic, Register

from frame_harness.orderings import assembler, x86_words
from frame_harness.orderings.asm_block import NotUnderstood
from frame_harness.orderings.ir_values import Symbol, Value, unknown
from frame_harness.orderings.x86_registers import UNBOUND, Flags, Registers, full, number_of

ALL = 0x1122_3344_5566_7788
SOME = unknown(Symbol("argument"))


def holding(value: Value) -> Registers:
    registers = Registers()
    registers.write(Register.RAX, value)
    return registers


@pytest.mark.parametrize(
    ("register", "whole"),
    [
        (Register.EAX, 0xFFFF_FFFF),  # 32 bits clear what is above
        (Register.AX, 0x1122_3344_5566_FFFF),
        (Register.AL, 0x1122_3344_5566_77FF),
        (Register.AH, 0x1122_3344_5566_FF88),
    ],
)
def test_a_write_leaves_of_the_register_what_the_cpu_leaves(register: int, whole: int) -> None:
    registers = holding(ALL)
    registers.write(register, ALL | 0xFFFF_FFFF)
    assert registers.read(Register.RAX) == whole


@pytest.mark.parametrize(
    ("register", "part"),
    [(Register.EAX, 0x5566_7788), (Register.AX, 0x7788), (Register.AL, 0x88), (Register.AH, 0x77)],
)
def test_a_read_gives_the_part_that_the_name_stands_for(register: int, part: int) -> None:
    assert holding(ALL).read(register) == part


def test_a_part_of_something_unknown_is_unknown_but_always_the_same() -> None:
    registers = holding(SOME)
    assert registers.read(Register.RAX) == SOME != registers.read(Register.EAX)
    assert registers.read(Register.EAX) == registers.read(Register.EAX) != registers.read(Register.AX)


def test_a_register_that_nothing_set_is_unbound_whatever_its_width() -> None:
    assert Registers().read(Register.RDX) == Registers().read(Register.EDX) == UNBOUND


def test_a_known_part_put_into_something_unknown_makes_no_number() -> None:
    registers = holding(SOME)
    registers.write(Register.AH, 1)
    assert not isinstance(registers.read(Register.RAX), int)


def test_a_copy_goes_its_own_way() -> None:
    first = holding(1)
    second = first.copy()
    second.move(Register.RAX, -2)
    assert first.read(Register.RAX) == 1 and second.read(Register.RAX) == (1 << 64) - 1


@pytest.mark.parametrize(
    ("left", "right", "met"),
    [
        (1, 2, {"B", "BE", "L", "LE", "NE", "S"}),
        (2, 2, {"AE", "BE", "GE", "LE", "E", "NS"}),
        (0xFF, 1, {"A", "AE", "L", "LE", "NE", "S"}),  # -1 and 1, or 255 and 1
    ],
)
def test_conditions_behind_a_comparison_of_bytes_are_those_of_the_manual(
    left: int, right: int, met: set[str]
) -> None:
    flags = Flags("sub", left, right, (left - right) & 0xFF, 8)
    names = ("B", "AE", "BE", "A", "L", "GE", "LE", "G", "E", "NE", "S", "NS")
    assert {name for name in names if flags.holds(getattr(ConditionCode, name))} == met


def test_flags_tell_nothing_of_what_they_do_not_hold() -> None:
    assert Flags("add", 1, 2, 3, 64).holds(ConditionCode.B) is None
    assert Flags("and", 1, 2, 0, 64).holds(ConditionCode.AE) == 1
    assert Flags("sub", SOME, 2, SOME, 64).holds(ConditionCode.P) is None


def test_a_name_stands_for_the_whole_register_and_an_unknown_one_is_refused() -> None:
    assert number_of("r10d") == full(Register.R10) == Register.R10
    with pytest.raises(NotUnderstood, match="'ymm99'"):
        number_of("ymm99")


def test_no_instruction_is_in_two_lists() -> None:
    """What it does to memory would depend on which list is asked first."""
    lists = {
        name: set(words) for name, words in vars(x86_words).items()
        if name.isupper() and isinstance(words, frozenset | dict)
    }  # fmt: skip
    assert {"MOVES", "ARITHMETIC", "COMPUTES", "HARMLESS", "NON_TEMPORAL", "FULL_FENCES"} <= lists.keys()
    pairs = [(one, other) for one in lists for other in lists if one < other]
    assert [(one, other) for one, other in pairs if lists[one] & lists[other]] == []


def test_what_orders_or_writes_memory_is_not_harmless() -> None:
    for name in ("MFENCE", "XCHG", "MOVNTI", "STOSQ", "LFENCE", "SFENCE", "CMPXCHG", "PUSH"):
        assert getattr(Mnemonic, name) not in x86_words.HARMLESS | x86_words.COMPUTES, name


def test_without_an_assembler_no_assembly_is_understood() -> None:
    with pytest.raises(NotUnderstood, match="no assembler"):
        assembler.without("nop", True)
