"""Proves that RAM is found where QEMU says it lies."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import MachineError
from frame_harness.base.units import Paddr
from frame_harness.machine.flatview import RamRange, parse_flat_view

# QEMU 7.2, -machine microvm -m 5G, shortened
MICROVM = """FlatView #0\r
 AS "I/O", root: io\r
 Root memory region: io\r
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r
\r
FlatView #1\r
 AS "memory", root: system\r
 AS "cpu-memory-0", root: system\r
 Root memory region: system\r
  0000000000000000-00000000000effff (prio 0, ram): ram\r
  00000000000f0000-00000000000fffff (prio 0, ram): pc.bios\r
  0000000000100000-00000000bfffffff (prio 0, ram): ram @0000000000100000\r
  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic\r
  00000000ffff0000-00000000ffffffff (prio 0, ram): pc.bios\r
  0000000100000000-000000017fffffff (prio 0, ram): ram @00000000c0000000\r
\r
"""


def test_ram_behind_the_hole_has_its_offset_from_qemu() -> None:
    assert parse_flat_view(MICROVM) == (
        RamRange(Paddr(0), Paddr(0xF0000), 0),
        RamRange(Paddr(0x100000), Paddr(0xC0000000), 0x100000),
        RamRange(Paddr(0x1_0000_0000), Paddr(0x1_8000_0000), 0xC0000000),
    )


def test_name_of_the_accelerator_behind_a_range_does_not_disturb() -> None:
    line = "0000000000100000-00000000bfffffff (prio 0, ram): ram @0000000000100000"
    assert parse_flat_view(MICROVM.replace(line, line + " KVM")) == parse_flat_view(MICROVM)


def test_read_only_memory_is_not_ram() -> None:
    text = MICROVM.replace("(prio 0, ram): ram\r", "(prio 0, rom): ram\r")
    assert parse_flat_view(text)[0] == RamRange(Paddr(0x100000), Paddr(0xC0000000), 0x100000)


@pytest.mark.parametrize("text", ["", "FlatView #0\n", MICROVM.replace(": ram", ": mem")])
def test_view_without_ram_is_an_error(text: str) -> None:
    with pytest.raises(MachineError, match="got none"):
        parse_flat_view(text)
