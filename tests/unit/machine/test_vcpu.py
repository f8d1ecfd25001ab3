"""Proves that registers are read from what the monitor prints."""

from __future__ import annotations

from frame_harness.machine.vcpu import parse_registers

# QEMU 7.2, `info registers -a`, shortened
TWO_CPUS = """\r
CPU#0\r
RAX=0000000000000001 RBX=0000000000000000 RCX=0000000000000002 RDX=ffffffff80106241\r
RSI=ffffffff80164782 RDI=0000000000006475 RBP=ffffffff80162780 RSP=ffffffff80161f10\r
R8 =0000000000006475 R9 =0000000000000002 R10=ffffffff80106241 R11=0000000000000002\r
RIP=ffffffff80160dc5 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
ES =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r
CR0=80010011 CR2=0000000000000000 CR3=000000000013d000 CR4=00000020\r
\r
CPU#1\r
EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1\r
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r
"""


def test_every_cpu_is_read_in_the_mode_it_is_in() -> None:
    long_mode, real_mode = parse_registers(TWO_CPUS)
    assert (long_mode.index, long_mode.rip) == (0, 0xFFFFFFFF80160DC5)
    assert long_mode.halted and long_mode.interrupts_enabled
    assert (real_mode.index, real_mode.rip) == (1, 0xFFF0)
    assert not real_mode.halted and not real_mode.interrupts_enabled


def test_registers_have_the_names_of_no_mode() -> None:
    long_mode, real_mode = parse_registers(TWO_CPUS)
    assert long_mode.registers["bp"] == 0xFFFFFFFF80162780 and long_mode.registers["r8"] == 0x6475
    assert long_mode.registers["cr3"] == 0x13D000 and long_mode.registers["ip"] == long_mode.rip
    assert real_mode.registers["dx"] == 0x60FB1


def test_description_says_what_the_cpu_does() -> None:
    first, second = parse_registers(TWO_CPUS)
    assert first.describe() == "CPU 0: halted at 0xffffffff80160dc5, interrupts on"
    assert second.describe() == "CPU 1: running at 0x000000000000fff0, interrupts off"


def test_essentials_say_where_on_which_stack_in_which_space() -> None:
    first, second = parse_registers(TWO_CPUS)
    assert first.essentials() == (
        "rip=0xffffffff80160dc5 rsp=0xffffffff80161f10 rbp=0xffffffff80162780 "
        "rflags=0x246 cr2=0x0 cr3=0x13d000"
    )
    assert second.essentials() == "rip=0xfff0 rflags=0x2"


def test_text_without_registers_has_no_cpus() -> None:
    assert parse_registers("") == () == parse_registers("CPU#0\nnothing\n")
