"""Proves what instructions are taken to do to memory."""

from __future__ import annotations

import pytest

from frame_harness.machine.instruction import is_private, unlocked_width


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
