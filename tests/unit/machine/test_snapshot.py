"""Proves that nothing that a guest did survives when it is put back."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.base.units import Paddr
from frame_harness.console.stream import LineStream
from frame_harness.machine.definition import load_machine
from frame_harness.machine.guest import Guest
from frame_harness.machine.snapshot import Snapshot
from tests.support.tiny_guest import HALT, say, write_byte, write_kernel

OUTSIDE = Paddr(
    0x300000
)  # code of the guest that is no part of its file: nothing but the guest ever writes there
AP_PAGE = 0x8000
AP_FLAG = 0x500
WORD = struct.Struct("<I")
RETURN = b"\xc3"
AWAIT_BYTE = bytes.fromhex("66bafd03eca80174fb66baf803ec")


def mov_eax(value: int) -> bytes:
    return b"\xb8" + WORD.pack(value)


def wrmsr(number: int, value: int) -> bytes:
    """Write a model-specific register, the upper half zero."""
    return b"\xb9" + WORD.pack(number) + mov_eax(value) + bytes.fromhex("31d20f30")


def out8(port: int, value: int) -> bytes:
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def out32(port: int, value: int) -> bytes:
    return b"\x66\xba" + struct.pack("<H", port) + mov_eax(value) + b"\xef"


def store(paddr: Paddr, value: int) -> bytes:
    """Store four bytes in memory or in a register that lies there."""
    return b"\xc7\x05" + WORD.pack(paddr) + WORD.pack(value)


def call(paddr: Paddr) -> bytes:
    return mov_eax(paddr) + b"\xff\xd0"


MSRS = (
    0xC0000081,
    0xC0000082,
    0xC0000083,
    0xC0000084,
    0xC0000102,
    0x174,
    0x175,
    0x176,
    0x277,
    0x2FF,
    0x200,
    0x201,
)
"""STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, SYSENTER_CS/ESP/EIP, PAT, three MTRRs (Intel SDM volume 4)."""

CPU_STATE = b"".join(
    (
        *(wrmsr(number, 0x400 + 8 * number % 64) for number in MSRS),
        *(mov_eax(0x1234 + 8 * at) + b"\x0f\x23" + bytes([0xC0 + 8 * at]) for at in range(4)),  # DR0 to DR3
        mov_eax(0x00000402) + bytes.fromhex("0f23f8"),  # DR7: a breakpoint on DR0
        bytes.fromhex("0f20c00d000004000f22c0"),  # CR0: AM
        mov_eax(0xABCD000) + bytes.fromhex("0f22d0"),  # CR2
        mov_eax(0x123000) + bytes.fromhex("0f22d8"),  # CR3
        mov_eax(0x620) + bytes.fromhex("0f22e0"),  # CR4: PAE, OSFXSR, OSXMMEXCPT
        bytes.fromhex("d9e8"),  # fld1
        mov_eax(0x77777777) + bytes.fromhex("660f6ec0"),  # XMM0
        store(Paddr(OUTSIDE + 0x800), 0x0000_0333) + store(Paddr(OUTSIDE + 0x804), 0x0010),
        bytes.fromhex("0f011d") + WORD.pack(OUTSIDE + 0x800),  # IDTR
        bytes.fromhex("0f0115") + WORD.pack(OUTSIDE + 0x800),  # GDTR
        bytes.fromhex("31c08ee00f00d0"),  # FS and LDTR: null
    )
)
DEVICES = b"".join(
    (
        *(out8(0x3F8 + at, value) for at, value in ((1, 0x0F), (3, 0x1B), (4, 0x0B), (7, 0x5A))),  # COM1
        *(out8(0x20 + chip, 0x11) for chip in (0, 0x80)),  # both 8259: all four words, then a mask
        *(out8(0x21 + chip, value) for chip in (0, 0x80) for value in (0x40, 2, 1, 0xA5)),
        *(out8(port, value) for port, value in ((0x43, 0x34), (0x40, 0x34), (0x40, 0x12))),  # 8254
        *(out8(0x70, 0x50), out8(0x71, 0xA5)),  # a byte of CMOS
        *(
            store(Paddr(0xFEE00000 + at), value)
            for at, value in ((0x80, 0x20), (0x320, 0x100FE), (0x380, 0x1000000))
        ),
        *(
            store(Paddr(0xFEC00000), 0x12),
            store(Paddr(0xFEC00010), 0x10055),
        ),  # the first entry of the I/O APIC
    )
)
PCI = (
    out32(0xCF8, 0x8000F83C) + out32(0xCFC, 0x55) + out32(0xCF8, 0x80000040)
)  # q35's ISA bridge, its interrupt line
# In real mode: two registers, a flag for the first CPU, halted for good.
AP_CODE = bytes.fromhex("b83412bb7856c606000577faf4ebfd")
OTHER_CPU = b"".join(
    (
        *(write_byte(Paddr(AP_PAGE + at), value) for at, value in enumerate(AP_CODE)),
        store(Paddr(0xFEE00310), 0x01000000)
        + store(Paddr(0xFEE00300), 0x4500)
        + store(Paddr(0xFEE00300), 0x4600 | AP_PAGE >> 12),
        b"\x80\x3d" + WORD.pack(AP_FLAG) + b"\x77\x75\xf7",  # cmpb; jne to it
    )
)
SPEAK = say(b"A\n") + RETURN
"""Lies at OUTSIDE. The guest calls it, turns its A into a B, calls it again."""
LETTER = SPEAK.index(b"A")
CHANGED_CODE = call(OUTSIDE) + write_byte(Paddr(OUTSIDE + LETTER), ord("B")) + call(OUTSIDE)
REGISTERS = b"".join(bytes([0xB8 + at]) + WORD.pack(0x11111111 * (at + 1)) for at in range(8))


def at_the_prompt(tmp_path: Path, machine_name: str, cpus: int, dirtying: bytes) -> tuple[Guest, LineStream]:
    """A guest that waits for a byte, then speaks from OUTSIDE twice, does all this and halts."""
    code = mov_eax(0x200000) + b"\x89\xc4" + say(b"ready\n") + AWAIT_BYTE + CHANGED_CODE + dirtying
    # RTC: what it holds shall not depend on the time that passes on the host.
    machine = load_machine(machine_name).override(cpus=cpus, extra_args=["-rtc", "clock=vm"])
    guest = Guest.start(
        machine, write_kernel(tmp_path, code + REGISTERS + say(b"done\n") + HALT), resume=False
    )
    guest.ram.view(OUTSIDE, len(SPEAK))[:] = list(SPEAK)
    guest.resume()
    stream = LineStream(guest.console)
    assert stream.next_line(guest.boot_deadline()) == b"ready"
    guest.qmp("stop")
    return guest, stream


def spoken(guest: Guest, stream: LineStream) -> list[bytes | None]:
    """What the guest says from its prompt on."""
    stream.send(b"x")
    guest.qmp("cont")
    return [stream.next_line(guest.deadline("a line")) for _ in range(3)]


def state_of(guest: Guest, tmp_path: Path) -> dict[str, bytes]:
    """All that a paused guest is, as QEMU writes it, with its whole RAM."""
    file = tmp_path / "state"
    guest.qmp("xen-save-devices-state", filename=str(file), live=False)
    registers = guest.hmp("info registers -a").encode()
    return {"ram": guest.ram.whole.tobytes(), "devices": file.read_bytes(), "registers": registers}


CHANGED = {
    "EAX",
    "EDI",
    "ESP",
    "EIP",
    "FS",
    "LDT",
    "GDT",
    "IDT",
    "CR0",
    "CR4",
    "DR0",
    "DR2",
    "DR7",
    "FPR7",
    "XMM00",
}
"""Some of what the guest changes, as QEMU calls it."""
PORTS = {0x3FF: 0x5A, 0x21: 0xA5, 0xA1: 0xA5}
"""Registers of COM1 and of both 8259, with what the guest writes there."""


def registers_that_differ(one: bytes, other: bytes) -> set[str]:
    """Names of the first CPU's registers that are not the same in two texts of the monitor."""
    firsts = (text.partition(b"CPU#1")[0] for text in (one, other))
    pieces = [dict(re.findall(r"(\w+) *= *([0-9a-f ]*[0-9a-f])", text.decode())) for text in firsts]
    return {name for name in pieces[0] if pieces[0][name] != pieces[1].get(name)}


@pytest.fixture(
    params=[("microvm", 1, b""), ("microvm", 2, OTHER_CPU), ("q35", 1, PCI), ("q35", 2, OTHER_CPU + PCI)]
)
def guest_and_stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Guest, LineStream]]:
    machine, cpus, more = request.param
    guest, stream = at_the_prompt(tmp_path, machine, cpus, CPU_STATE + more + DEVICES)
    with guest:
        yield guest, stream


def test_a_guest_that_changed_all_that_it_can_is_put_back_as_it_was(
    guest_and_stream: tuple[Guest, LineStream], tmp_path: Path
) -> None:
    guest, stream = guest_and_stream
    snapshot = Snapshot(guest)
    new = state_of(guest, tmp_path)
    for _ in range(2):
        assert spoken(guest, stream) == [b"A", b"B", b"done"]
        guest.qmp("stop")
        guest.ram.whole[:] ^= 0x5A
        used = state_of(guest, tmp_path)
        assert registers_that_differ(new["registers"], used["registers"]) >= CHANGED
        assert {port: int(guest.hmp(f"i /b {port}").split("=")[1], 16) for port in PORTS} == PORTS
        assert [name for name in new if new[name] == used[name]] == []
        snapshot.put_back(guest)
        assert {name for name in new if state_of(guest, tmp_path)[name] != new[name]} == set()


def test_code_that_the_guest_changed_runs_as_it_was_before(tmp_path: Path) -> None:
    """Neither part of its file, which QEMU writes again, nor written by anybody but the host."""
    guest, stream = at_the_prompt(tmp_path, "microvm", 1, b"")
    with guest:
        snapshot = Snapshot(guest)
        for _ in range(3):
            assert spoken(guest, stream) == [b"A", b"B", b"done"]
            guest.qmp("stop")
            snapshot.put_back(guest)
