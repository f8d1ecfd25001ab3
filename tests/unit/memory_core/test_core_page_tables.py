"""Proves which pages are looked at through page tables, and how the host follows their entries."""

from __future__ import annotations

import random

import numpy as np

from frame_harness.base.units import Paddr
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.page_tables import neighbors, page_at, pages, walk

LOWER_HALF = 1 << 47


def test_pages_share_each_number_of_tables_and_lie_in_the_lower_half() -> None:
    for seed in range(50):
        found = pages(random.Random(seed))
        assert len(found) == 5 and all(0 <= page < LOWER_HALF and page % 0x1000 == 0 for page in found)
        differs = [max(at for at in (12, 21, 30, 39) if (page ^ found[0]) >> at) for page in found[1:]]
        assert differs == [39, 30, 21, 12]


def test_neighbors_differ_in_one_entry_of_one_table() -> None:
    page = page_at((3, 5, 7, 9))
    assert [one ^ page for one in neighbors(page)] == [1 << 39, 1 << 30, 1 << 21, 1 << 12]


def ram_with(entries: dict[int, int]) -> GuestRam:
    ram = GuestRam(1 << 20, None)
    ram.ranges = (RamRange(Paddr(0), Paddr(1 << 20), 0),)
    for paddr, entry in entries.items():
        ram.array(Paddr(paddr), np.uint64, 1)[0] = entry
    return ram


def test_walk_follows_present_entries_to_the_page() -> None:
    ram = ram_with({0x1000 + 8: 0x2003, 0x2000 + 16: 0x3003, 0x3000 + 24: 0x4003, 0x4000 + 32: 0x5003})
    assert walk(ram, Paddr(0x1000), page_at((1, 2, 3, 4))) == [
        ("PML4", 0x1008, 0x2003),
        ("PDPT", 0x2010, 0x3003),
        ("PD", 0x3018, 0x4003),
        ("PT", 0x4020, 0x5003),
    ]


def test_walk_ends_where_nothing_is_present_at_a_large_page_and_out_of_ram() -> None:
    ram = ram_with({0x1008: 0x2003, 0x2010: 0x3083, 0x1010: 0xFFFF_F003})
    assert [level for level, _, _ in walk(ram, Paddr(0x1000), page_at((1, 2, 3, 4)))] == ["PML4", "PDPT"]
    assert [level for level, _, _ in walk(ram, Paddr(0x1000), page_at((2, 0, 0, 0)))] == ["PML4"]
    assert [entry for _, _, entry in walk(ram, Paddr(0x1000), page_at((9, 0, 0, 0)))] == [0]
