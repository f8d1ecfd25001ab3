"""Proves which instructions are called executed: of logs as values, of guests of few instructions."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.coverage.blocks import UnreadableLog, executed
from frame_harness.machine import Guest, load_machine
from frame_harness.machine.translation_log import TranslationLogs
from tests.support import tiny_guest as tiny

BLOCK = b"""----------------
IN: _ZN11kernel_shim6memory5frame8MetaSlot7inc_ref17h0123456789abcdefE
0xffffffff80147330:  48 83 ec 18              subq     $0x18, %rsp
0xffffffff80147334:  48 89 7c 24 08           movq     %rdi, 8(%rsp)
0xffffffff80147339:  c7 84 24 00 01 00 00 78  movl     $0x12345678, 0x100(%rsp)
0xffffffff80147341:  56 34 12
0xffffffff80147344:  e8 00 00 00 00           callq    0xffffffff80147349

"""
ADDRESSES = (0x30, 0x34, 0x39, 0x41, 0x44)  # of each line, the one in which an instruction goes on included
FIRST = 0xFFFFFFFF80147300


def exception(vector: int, low: int, *, software: int = 0) -> bytes:
    pc = FIRST + low
    return (
        b"check_exception old: 0xffffffff new 0x%x\n" % vector
        + b"     0: v=%02x e=0002 i=%d cpl=0 IP=0008:%016x pc=%016x SP=0010:00 CR2=00\n"
        % (vector, software, pc, pc)
        + b"RAX=0000000000000000 RBX=0000000000000000\n"
    )


def low_bytes(log: bytes) -> list[int]:
    return sorted(address - FIRST for address in executed(log))


def test_a_block_runs_to_its_end() -> None:
    assert low_bytes(BLOCK) == list(ADDRESSES)
    assert executed(b"") == frozenset()


def test_nothing_behind_a_fault_in_a_block_is_executed() -> None:
    assert low_bytes(BLOCK + exception(0x0E, 0x34)) == [0x30, 0x34]


def test_what_another_block_shows_behind_a_fault_is_executed() -> None:
    again = BLOCK.replace(b"0xffffffff80147330:  48 83 ec 18              subq     $0x18, %rsp\n", b"")
    assert low_bytes(BLOCK + exception(0x0E, 0x30) + again) == list(ADDRESSES)


@pytest.mark.parametrize("vector", [0x02, 0x20, 0xF0])
def test_an_interrupt_comes_between_blocks(vector: int) -> None:
    assert low_bytes(BLOCK + exception(vector, 0x34)) == list(ADDRESSES)


def test_an_interrupt_instruction_completes() -> None:
    assert low_bytes(BLOCK + exception(0x03, 0x34, software=1)) == list(ADDRESSES)


def test_a_log_without_addresses_is_refused() -> None:
    with pytest.raises(UnreadableLog, match="Capstone"):
        executed(b"----------------\nIN: \nOBJD-T: 4883ec18e800000000\n")


# In a guest

LEAVE = tiny.leave(0x10) + tiny.HALT
LEAVING = (0, 4, 6, 7, 8)
"""The last two of these do not run: the write before them ends QEMU, which is what a log cannot tell."""


def run(folder: Path, code: bytes, end: GuestEnd) -> tuple[bytes, list[int]]:
    """Run a kernel of a few instructions to its end; return the log, and what was executed from where on."""
    logs = TranslationLogs(((tiny.BASE, tiny.BASE + len(code)),))
    with Guest.start(load_machine("microvm"), tiny.write_kernel(folder, code), logs=logs) as guest:
        assert guest.wait().kind is end
    (log,) = logs.read()
    return log, sorted(address - tiny.BASE for address in executed(log))


def test_exactly_the_instructions_that_ran_are_executed(tmp_path: Path) -> None:
    code = bytes.fromhex(
        "31c0"  # 0: xor eax, eax
        "85c0"  # 2: test eax, eax
        "7503"  # 4: jnz 9
        "40"  # 6: inc eax
        "ebf9"  # 7: jmp 2
        "3d02000000"  # 9: cmp eax, 2
        "7401"  # 14: je 17
        "40"  # 16: inc eax
    )
    _, ran = run(tmp_path, code + LEAVE, GuestEnd.PASS)
    assert ran == [0, 2, 4, 6, 7, 9, 14, 16, *(17 + each for each in LEAVING)]


def test_a_branch_that_is_never_taken_is_not_executed(tmp_path: Path) -> None:
    code = bytes.fromhex("31c074024040")  # 2: jz 6; 4: inc eax
    _, ran = run(tmp_path, code + LEAVE, GuestEnd.PASS)
    assert ran == [0, 2, *(6 + each for each in LEAVING)]


def test_the_rest_of_a_block_in_which_a_guest_faults_is_not_executed(tmp_path: Path) -> None:
    no_table = b"\x0f\x01\x1d" + struct.pack("<I", tiny.BASE + 0x800)  # lidt: then a fault ends the guest
    code = no_table + bytes.fromhex("31c9f7f14040f4")  # 7: xor ecx, ecx; 9: div ecx; 11: inc eax
    log, ran = run(tmp_path, code, GuestEnd.RESET)
    assert b"0x0010000b:" in log, "QEMU translated the rest of the block, too"
    assert ran == [0, 7, 9]
