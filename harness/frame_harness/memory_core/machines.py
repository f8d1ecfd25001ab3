"""Memory maps in the shape of machines with 8 to 64 GiB, and what they cost the host.

Each has what firmware leaves in such a map: pieces below 1 MiB, memory of boot services in many small regions
that may be reclaimed, runtime services and ACPI tables as islands, a hole for devices below 4 GiB, the memory
that the hole displaced above 4 GiB, ends inside of large pages and of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from frame_harness.base.errors import HostRamError
from frame_harness.base.units import GIB, KIB, MIB, PAGE_SIZE, format_bytes
from frame_harness.campaigns.usage import memory_left
from frame_harness.memory_core.catalogue import free, reserved
from frame_harness.memory_core.maps import MapRegion, MemoryMap, RegionKind, Span
from frame_harness.memory_core.state import KINDS, MAX_ORDER
from frame_harness.memory_core.steps import Alloc, CaseOperation, CaseStep, Free, map_of, operations_of
from frame_harness.session.workers import available_memory

RAM: Final = "64 GiB"
"""Of the guest: a file with holes, of which the host holds what was written."""
HIGH_MEMORY: Final = 4 * GIB
LARGE_TOP: Final = 6 * GIB
"""Where memory ends in the guest for smaller maps."""
_FRAME_BYTES: Final = 2 * 64
"""What a frame costs the host: its slot, and as much while slots are judged."""
_GARBAGE: Final = 512 * MIB
"""What the guest's other memory costs the host: garbage around each GiB, QEMU, what the core writes."""
_PROCESSES: Final = 2
"""Builds that are judged at the same time."""


def operations(kind: str) -> tuple[CaseOperation, ...]:
    """What is done on each of these maps: it reaches blocks at high addresses."""
    return (
        Alloc("b1", 0, kind), Alloc("b2", 9, kind, "highmem"), Alloc("b3", MAX_ORDER, KINDS[0], "highmem"),
        Free("b2"), Free("b3"), Free("b1"),
    )  # fmt: skip


def machines(start: int, end: int) -> Iterator[MemoryMap]:
    """Maps of machines, the smallest first.

    Args:
        start: where free RAM begins, a multiple of 2 MiB.
        end: where RAM ends, which bounds the largest.
    """
    yield _uefi("a laptop with 8 GiB", start, 2 * GIB - 160 * MIB, 10 * GIB + 128 * MIB)
    yield _bios("a PC with 16 GiB", start, 3 * GIB, 17 * GIB)
    yield _uefi("a laptop with 32 GiB", start, 2 * GIB - 480 * MIB, 34 * GIB + 352 * MIB)
    yield _bios("a server with 64 GiB", start, 3 * GIB, end)


def _bios(name: str, start: int, low_end: int, end: int) -> MemoryMap:
    """Few regions: an e820 map of a BIOS, with the tables of ACPI at the end of low memory.

    The registers of the I/O APIC are where `IO_APIC_DEFAULT_ADDRESS` of QEMU 7.2 has them, those of the local
    APIC at their default base (Intel SDM vol. 3A, 11.4.1). All other addresses are ours.
    """
    tables = low_end - 2 * MIB
    return MemoryMap(
        name,
        (
            free(PAGE_SIZE, 636 * KIB), reserved(639 * KIB, 640 * KIB), reserved(960 * KIB, MIB),
            free(start, tables - 8 * KIB), MapRegion(tables - 8 * KIB, 40 * KIB, RegionKind.RECLAIM),
            reserved(tables + 32 * KIB, tables + 544 * KIB), free(tables + 544 * KIB, low_end - 0x400),
            reserved(0xE000_0000, 0xF000_0000), reserved(0xFEC0_0000, 0xFEC0_1000),
            reserved(0xFEE0_0000, 0xFEE0_1000), reserved(0xFF00_0000, HIGH_MEMORY),
            free(HIGH_MEMORY, end - 3 * PAGE_SIZE), reserved(end - 3 * PAGE_SIZE, end),
        ),
    )  # fmt: skip


def _uefi(name: str, start: int, low_end: int, end: int) -> MemoryMap:
    """Many regions: boot services in small pieces, runtime services between them, firmware's own memory.

    All addresses are ours, in the manner of a laptop's.
    """
    parts = [
        free(PAGE_SIZE, 0x58000), reserved(0x58000, 0x59000), free(0x59000, 0x9E000),
        reserved(0x9E000, MIB), free(start, start + 24 * MIB + 3 * PAGE_SIZE),
    ]  # fmt: skip
    at = parts[-1].end
    for number in range(48):
        size = (1 + number * 7 % 61) * PAGE_SIZE
        kind = (RegionKind.RECLAIM, RegionKind.FREE, RegionKind.RECLAIM, RegionKind.RESERVED)[number % 4]
        parts.append(MapRegion(at, size, kind))
        at += size + (PAGE_SIZE if number % 5 == 0 else 0)
    firmware = low_end - 48 * MIB - 5 * PAGE_SIZE
    parts += [
        free(at, firmware), reserved(firmware, firmware + 20 * MIB),
        MapRegion(firmware + 20 * MIB, 108 * KIB, RegionKind.RECLAIM),
        reserved(firmware + 20 * MIB + 108 * KIB, firmware + 22 * MIB),
        free(firmware + 22 * MIB, low_end), reserved(low_end, low_end + 64 * MIB),
        reserved(0xF800_0000, 0xFC00_0000), reserved(0xFE00_0000, 0xFE01_1000),
        free(HIGH_MEMORY, end - 0x1800), reserved(end - PAGE_SIZE, end),
    ]  # fmt: skip
    return MemoryMap(name, tuple(parts))


def is_huge(steps: Sequence[CaseStep]) -> bool:
    """Whether a case needs the guest with the most memory."""
    return map_of(steps).top > LARGE_TOP


def fewer(steps: Sequence[CaseStep]) -> Iterator[tuple[CaseStep, ...]]:
    """Cases that are tried first, since they may show the same: without high memory, with nothing else."""
    high = [step for step in steps if isinstance(step, MapRegion) and step.end > LARGE_TOP]
    yield tuple(step for step in steps if step not in high)
    for region in high:
        if region.kind.usable:
            yield (region, *operations_of(steps))


def cost_of(memory: MemoryMap) -> int:
    """Bytes of the host's memory that it takes to judge a core on a map."""
    return memory.top // PAGE_SIZE * _FRAME_BYTES + _GARBAGE


class HasRam(Protocol):
    """A guest, as far as its RAM is concerned."""

    def available(self) -> list[Span]: ...


@dataclass(frozen=True)
class Room:
    """Which maps the host has memory for; `why` says why there are others, and names them."""

    maps: tuple[MemoryMap, ...]
    why: str = ""


def room_for(core: HasRam, available: int | None = None) -> Room:
    """The maps that can be started on here.

    Args:
        available: bytes of the host's memory; None asks the host.
    """
    try:
        spans = core.available()
    except HostRamError as error:
        return Room((), f"maps of more than {format_bytes(LARGE_TOP)} are left out: {error.summary}")
    start = next(first for first, end in spans if end - first > GIB)
    maps = tuple(machines(-(-start // (2 * MIB)) * 2 * MIB, spans[-1][1]))
    there = _available() if available is None else available
    if (left := memory_left()) is not None:
        there = min(there, left * _PROCESSES)  # a worker ends the one task that uses more
    fit = tuple(memory for memory in maps if cost_of(memory) * _PROCESSES <= there)
    others = tuple(memory for memory in maps if memory not in fit)
    if not others:
        return Room(fit)
    names = ", ".join(memory.name for memory in others)
    need = max(map(cost_of, others)) * _PROCESSES // MIB
    return Room(fit, f"maps left out: {names}: they need {need} MiB of memory, this host has {there // MIB}")


def _available() -> int:
    """Bytes that the host can give; in a container no more than its limit leaves."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except FileNotFoundError:
        return available_memory()
    return available_memory() if limit == "max" else min(available_memory(), int(limit) - used)
