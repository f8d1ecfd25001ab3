"""Proves that a word in memory that nobody may use is found when it changes, and no other."""

from __future__ import annotations

import pytest

from frame_harness.base.units import Paddr
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.maps import MapRegion, MemoryMap, Protected, RegionKind
from frame_harness.memory_core.untouched import EDGE, Untouched

PAGE, FRAMES = 0x1000, 64
LAST = FRAMES * PAGE
MAP = MemoryMap(
    "",
    (MapRegion(0, 32 * PAGE), MapRegion(32 * PAGE, 16 * PAGE, RegionKind.RESERVED)),
    (Protected(8 * PAGE + 1, 1),),
)


@pytest.fixture
def ram() -> GuestRam:
    made = GuestRam(LAST, None)
    made.ranges = (RamRange(Paddr(0), Paddr(LAST), 0),)
    return made


def test_what_nobody_wrote_to_breaks_nothing(ram: GuestRam) -> None:
    watch = Untouched(MAP, [(Paddr(0), Paddr(LAST))], ram)
    ram.view(Paddr(0), 8 * PAGE)[:] = 0
    ram.view(Paddr(9 * PAGE), 23 * PAGE)[:] = 0
    assert list(watch.judge([])) == []


@pytest.mark.parametrize("at", [8 * PAGE, 9 * PAGE - 1, 32 * PAGE, 32 * PAGE + EDGE - 1, LAST - 1])
def test_a_byte_at_an_end_of_reserved_and_protected_memory_is_found(ram: GuestRam, at: int) -> None:
    watch = Untouched(MAP, [(Paddr(0), Paddr(LAST))], ram)
    ram.view(Paddr(at), 1)[0] ^= 1
    [found] = watch.judge([])
    assert (found.key, found.paddr) == (("CORE-02", "written"), at // 8 * 8)


def test_what_the_core_took_there_is_a_fault_by_itself(ram: GuestRam) -> None:
    watch = Untouched(MAP, [(Paddr(0), Paddr(LAST))], ram)
    ram.view(Paddr(33 * PAGE), 2 * PAGE)[:] = 0
    assert list(watch.judge([(Paddr(33 * PAGE), Paddr(35 * PAGE))])) == []
    [found] = watch.judge([(Paddr(33 * PAGE), Paddr(34 * PAGE))])
    assert found.paddr == 34 * PAGE


def test_memory_that_is_the_shim_s_is_left_alone(ram: GuestRam) -> None:
    before = ram.view(Paddr(32 * PAGE), PAGE).copy()
    Untouched(MAP, [(Paddr(0), Paddr(32 * PAGE))], ram)
    assert (ram.view(Paddr(32 * PAGE), PAGE) == before).all()
