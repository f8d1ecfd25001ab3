"""Pfns, addresses, sizes: their types with the one family of conversions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NewType, cast

from frame_harness.base.errors import UsageError

Pfn = NewType("Pfn", int)
Paddr = NewType("Paddr", int)
Vaddr = NewType("Vaddr", int)

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT

KERNEL_VMA: Final = Vaddr(0xFFFF_FFFF_8000_0000)
"""Ours: where the kernel image is linked. Its virtual addresses are this plus the physical ones."""

_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": KIB,
    "kib": KIB,
    "m": MIB,
    "mib": MIB,
    "g": GIB,
    "gib": GIB,
    "t": TIB,
    "tib": TIB,
}
# samples: "64 MiB", "5GiB", "0x1000", "4097"
# No size has more than 40 digits; Python raises where a number has thousands.
_SIZE = re.compile(r"\s*(0[xX][0-9a-fA-F]{1,40}|[0-9]{1,40})\s*([A-Za-z]*)\s*")


def pfn_to_paddr(pfn: Pfn) -> Paddr:
    """The address of the first byte of a frame."""
    return Paddr(pfn << PAGE_SHIFT)


def paddr_to_pfn(paddr: Paddr) -> Pfn:
    """The frame that holds an address."""
    return Pfn(paddr >> PAGE_SHIFT)


def paddr_to_vaddr(paddr: Paddr, hhdm_base: Vaddr) -> Vaddr:
    """Where the HHDM shows a physical address."""
    return Vaddr(paddr + hhdm_base)


def vaddr_to_paddr(vaddr: Vaddr, hhdm_base: Vaddr) -> Paddr:
    """The physical address behind an address of the HHDM.

    Raises:
        UsageError: it lies below the HHDM.
    """
    if vaddr < hhdm_base:
        raise UsageError("vaddr to paddr", f"{vaddr:#018x}", expected=f"an address from {hhdm_base:#018x} on")
    return Paddr(vaddr - hhdm_base)


def frames_from(pfn: Pfn, count: int) -> Sequence[Pfn]:
    """So many frames one after another, this one first."""
    return cast(Sequence[Pfn], range(pfn, pfn + count))


def frames_touched(first: Paddr, end: Paddr) -> tuple[Pfn, Pfn]:
    """The frames of which some bytes from `first` on are a part: the first one, one past the last."""
    return paddr_to_pfn(first), Pfn(-(-end >> PAGE_SHIFT))


def frames_inside(first: Paddr, end: Paddr) -> tuple[Pfn, Pfn]:
    """The frames all of whose bytes are among those from `first` on: the first one, one past the last."""
    return Pfn(-(-first >> PAGE_SHIFT)), paddr_to_pfn(end)


def align_up(value: int, alignment: int = PAGE_SIZE) -> int:
    """The smallest multiple of `alignment` (a power of two) that is not below `value`."""
    return -(-value & -alignment)


def parse_bytes(text: str | int) -> int:
    """Read a size: a number of bytes, or a text such as "64 MiB" (binary units k, M, G, T, "iB" or not).

    Raises:
        UsageError: no such size; zero and negative sizes included.
    """
    if isinstance(text, bool) or not isinstance(text, int | str):
        raise UsageError("size", repr(text), expected='bytes, or a text such as "64 MiB"')
    if isinstance(text, int):
        value = text
    else:
        match = _SIZE.fullmatch(text)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise UsageError("size", repr(text), expected='a text such as "64 MiB"')
        value = int(match[1], 0 if match[1][:2].lower() == "0x" else 10) * unit
    if value <= 0:
        raise UsageError("size", repr(text), expected="more than 0 bytes")
    return value


def format_bytes(n_bytes: int) -> str:
    """Write a size with the largest binary unit that divides it: "64 MiB", but "4097 bytes"."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if n_bytes and n_bytes % unit == 0:
            return f"{n_bytes // unit} {name}"
    return f"{n_bytes} bytes"
