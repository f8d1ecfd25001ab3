"""Finds guest RAM in the flat view that QEMU prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from frame_harness.base.errors import MachineError
from frame_harness.base.units import Paddr

RAM_ID: Final = "ram"
"""The id that the memory backend is given, which is also the region's name in `info mtree`."""
# "  0000000000100000-000000007fffffff (prio 0, ram): ram @0000000000100000 KVM", or without "@": offset 0
_RANGE: Final = re.compile(
    r" +(?P<first>[0-9a-f]{16})-(?P<last>[0-9a-f]{16}) \(prio -?[0-9]+, (?P<kind>[a-z/ ]+)\): (?P<name>\S+)"
    r"(?: @(?P<offset>[0-9a-f]{16}))?(?: .*)?"
)
_SYSTEM: Final = re.compile(r' AS "memory", root: system')


@dataclass(frozen=True, order=True)
class RamRange:
    """Physical addresses [first_paddr, end_paddr) backed by the RAM file from `offset` on."""

    first_paddr: Paddr
    end_paddr: Paddr
    offset: int


def parse_flat_view(text: str) -> tuple[RamRange, ...]:
    """Read `info mtree -f` (QEMU 7.2): the RAM ranges of the system address space, sorted, never overlapping.

    Raises:
        MachineError: the text has no system address space, or that has no RAM.
    """
    for block in re.split(r"(?m)^FlatView #", text.replace("\r", "")):
        lines = block.splitlines()
        if any(_SYSTEM.fullmatch(line) for line in lines):
            found = tuple(sorted(_ram_ranges(lines)))
            if found:
                return found
    raise MachineError(
        "qemu memory map", "info mtree -f", expected=f"ranges of region {RAM_ID!r}", actual="none"
    )


def _ram_ranges(lines: list[str]) -> list[RamRange]:
    ranges = []
    for line in lines:
        match = _RANGE.fullmatch(line)
        if match and match["kind"] == "ram" and match["name"] == RAM_ID:
            first, last = int(match["first"], 16), int(match["last"], 16)
            ranges.append(RamRange(Paddr(first), Paddr(last + 1), int(match["offset"] or "0", 16)))
    return ranges
