"""Proves what instructions are taken to do to memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest
from iced_x86 import Register

from frame_harness.base.units import Vaddr
from frame_harness.machine.instruction import (
    Repetition,
    Stretch,
    Touch,
    is_private,
    private_stretch,
    repetition,
    touches,
    unlocked_width,
)


@pytest.mark.parametrize(
    ("code", "width"),
    [
        ("814f1800100000", 4),  # or dword ptr [rdi+0x18], 0x1000
        ("ff4020", 4),  # inc dword ptr [rax+0x20]
        ("83402001", 4),  # add dword ptr [rax+0x20], 1
        ("80481910", 1),  # or byte ptr [rax+0x19], 0x10
        ("66814f180010", 2),  # or word ptr [rdi+0x18], 0x1000
        ("4883481810", 8),  # or qword ptr [rax+0x18], 0x10
        ("0fba68180c", 4),  # bts dword ptr [rax+0x18], 12
        ("0fc14824", 4),  # xadd dword ptr [rax+0x24], ecx
        ("0fb14820", 4),  # cmpxchg dword ptr [rax+0x20], ecx
        ("01481890", 4),  # add dword ptr [rax+0x18], ecx
    ],
)
def test_an_unlocked_read_modify_write_is_two_accesses(code: str, width: int) -> None:
    assert unlocked_width(bytes.fromhex(code)) == width


@pytest.mark.parametrize(
    "code",
    [
        "f0814f1800100000",  # lock or dword ptr [rdi+0x18], 0x1000
        "f00fb14820",  # lock cmpxchg dword ptr [rax+0x20], ecx
        "3ef0ff4020",  # ds lock inc dword ptr [rax+0x20]
        "874818",  # xchg dword ptr [rax+0x18], ecx: always locked
        "894818",  # mov dword ptr [rax+0x18], ecx
        "c7401801000000",  # mov dword ptr [rax+0x18], 1
        "f3ab",  # rep stosd
        "e8000000",  # call
        "",
        "f0",
    ],
)
def test_locked_instructions_and_plain_stores_are_one_access(code: str) -> None:
    assert unlocked_width(bytes.fromhex(code)) is None


@pytest.mark.parametrize(
    "code",
    [
        "8d4818",  # lea ecx, [rax+0x18]
        "4801d8",  # add rax, rbx
        "55",  # push rbp
        "c3",  # ret
        "e800000000",  # call
        "488b4424f8",  # mov rax, [rsp-8]
    ],
)
def test_what_stays_in_registers_or_on_the_stack_is_seen_by_no_other_cpu(code: str) -> None:
    assert is_private(bytes.fromhex(code))


@pytest.mark.parametrize(
    "code",
    [
        "8b4820",  # mov ecx, [rax+0x20]
        "894818",  # mov [rax+0x18], ecx
        "ff45f8",  # inc dword ptr [rbp-8]: without frame pointers RBP may hold anything
        "f00fb14820",  # lock cmpxchg dword ptr [rax+0x20], ecx
        "f3ab",  # rep stosd
        "ff7020",  # push qword ptr [rax+0x20]
        "488b05aa000000",  # mov rax, [rip+0xaa]
        "65488b042500000000",  # mov rax, gs:[0]
        "06",  # none in 64-bit mode
        "",
    ],
)
def test_any_other_memory_may_be_seen_by_another_cpu(code: str) -> None:
    assert not is_private(bytes.fromhex(code))


@pytest.mark.parametrize(
    ("code", "private"),
    [
        ("ff45f8", True),  # inc dword ptr [rbp-8]
        ("488b4424f8", True),  # mov rax, [rsp-8]
        ("8b4820", False),  # mov ecx, [rax+0x20]
        ("0103", False),  # add [rbx], eax
    ],
)
def test_a_frame_pointer_leads_to_the_stack(code: str, private: bool) -> None:
    assert is_private(bytes.fromhex(code), framed=True) is private


REGISTERS: dict[int, int] = {Register.RCX: 3, Register.RDI: 0x9000, Register.RSI: 0x5000}


def rounds_of(code: str, flags: int = 2, **others: int) -> Repetition | None:
    registers = REGISTERS | {getattr(Register, name): value for name, value in others.items()}
    return repetition(bytes.fromhex(code), AT, lambda: registers, lambda: flags)


@pytest.mark.parametrize(("code", "width", "length"), [("f348ab", 8, 3), ("f3ab", 4, 2), ("f3a4", 1, 2)])
def test_all_rounds_of_a_repeated_store_are_known_ahead(code: str, width: int, length: int) -> None:
    found = rounds_of(code)
    assert found is not None and (found.rounds, found.behind) == (3, AT + length)
    stored, loaded = (0x9000, 3 * width), (0x5000, 3 * width)
    assert found.touched == ((stored, loaded) if code == "f3a4" else (stored,))


@pytest.mark.parametrize(
    "code",
    [
        "48ab",  # stosq, once
        "f3ae",  # repe scasb, which ends where it finds another byte
        "f2a6",  # repne cmpsb
        "f364a4",  # rep movsb from FS
        "67f3ab",  # rep stosd by EDI and ECX
        "06",
        "",
    ],
)
def test_an_instruction_whose_rounds_are_not_known_is_none(code: str) -> None:
    assert rounds_of(code) is None


@pytest.mark.parametrize("rounds", [0, 4097, 2**64 - 1])
def test_no_rounds_and_too_many_are_not_gone_through_at_once(rounds: int) -> None:
    assert rounds_of("f3ab", RCX=rounds) is None


def test_rounds_that_go_down_are_not_gone_through_at_once() -> None:
    assert rounds_of("f3ab", flags=0x402) is None


def test_no_register_is_asked_for_where_nothing_repeats() -> None:
    def asked() -> NoReturn:
        pytest.fail("a register was asked for")

    assert repetition(bytes.fromhex("8b4820"), AT, asked, asked) is None


AT = Vaddr(0x1000)


def stretch_of(code: str, *stops: int) -> Stretch:
    """The stretch at the beginning of some code, whose parts are offset from it in the result."""
    data = bytes.fromhex(code)
    found = private_stretch(lambda at: data[at - AT :], AT, {Vaddr(AT + stop) for stop in stops})
    return Stretch(
        tuple(Vaddr(at - AT) for at in found.addresses), tuple(Vaddr(at - AT) for at in found.ends)
    )


@pytest.mark.parametrize(
    ("code", "addresses", "ends"),
    [
        ("4801d8 4889c1 8b4820", (0, 3), (6,)),  # add, mov; then a load from anywhere
        ("55 4801d8 c3", (0, 1), (4,)),  # push, add; then ret, which memory leads on
        ("90 7402 90 90 90", (0, 1), (3, 5)),  # nop, jz over two
        ("90 eb01 cc 4801d8 c3", (0, 1, 4), (7,)),  # nop, jmp over one, add; then ret
        ("90 e801000000 cc 4801d8 c3", (0, 1, 7), (10,)),  # nop, call behind one, add; then ret
        ("90 4801d8 ebfa", (0, 1), (4,)),  # nop, add; then a jump to the nop
        ("90 4801d8 74fa", (0, 1), (4,)),  # nop, add; then a branch to the nop
        ("90 4801d8 fa", (0, 1), (4,)),  # nop, add; then cli
        ("90 4801d8 f4", (0, 1), (4,)),  # nop, add; then hlt, which waits
        ("90 4801d8 ffe0", (0, 1), (4,)),  # nop, add; then a jump to where RAX says
        ("90 4801d8 cd20", (0, 1), (4,)),  # nop, add; then int
        ("90 4801d8 0f0b", (0, 1), (4,)),  # nop, add; then ud2
        ("90 4801d8 06", (0, 1), (4,)),  # nop, add; then what is no instruction
        ("90 4801d8 f3ab", (0, 1), (4,)),  # nop, add; then rep stosd
    ],
)
def test_a_stretch_goes_as_far_as_nobody_else_sees_it_and_its_end_is_known(
    code: str, addresses: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    assert stretch_of(code) == Stretch(addresses, ends)  # type: ignore[arg-type]


def test_a_stretch_goes_on_through_a_frame_where_the_frame_pointer_is_one() -> None:
    data = bytes.fromhex("90 8945f8 4889c1 8b4820")  # nop, mov [rbp-8], eax, mov; then a load from anywhere

    def ends(framed: Callable[[Vaddr], bool]) -> tuple[int, ...]:
        return private_stretch(lambda at: data[at - AT :], AT, (), framed).ends

    assert ends(lambda _: True) == (AT + 7,)
    assert ends(lambda _: False) == (AT + 1,)


@pytest.mark.parametrize("code", ["8b4820", "c3", "f4", "ebfe", "74fe", "7400", ""])
def test_what_others_see_or_leads_back_or_nowhere_is_no_stretch(code: str) -> None:
    assert stretch_of(code).addresses == ()


def test_a_stretch_ends_at_a_stop_but_may_begin_at_one() -> None:
    assert stretch_of("90 90 90 c3", 0, 2) == Stretch((Vaddr(0), Vaddr(1)), (Vaddr(2),))


def test_a_stretch_has_an_end_even_where_the_code_has_none() -> None:
    assert 1 < len(private_stretch(lambda _: b"\x90", AT, ()).addresses) < 1000


def test_an_operand_that_is_relative_to_the_instruction_is_where_it_leads() -> None:
    load = bytes.fromhex("488b0510000000")  # mov rax, [rip + 0x10]
    assert touches(load, Vaddr(0x1000), {}) == (Touch(Vaddr(0x1017), 8, reads=True, writes=False),)
