"""Compares the slot table as the guest reads it with the table in RAM, at a cost that has a bound.

What is made of runs of equal slots, as a healthy table is, the guest prints slot by slot. Of the rest it
tells a checksum for each piece, which is compared with that of the same bytes in RAM; the first piece that
differs is then printed, too. So every slot is compared, and garbage costs no more than reading it once.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.text import plural
from frame_harness.base.units import Pfn, pfn_to_paddr
from frame_harness.console.dump import Dump

PIECE_SLOTS = 1024
RUNS_OF_A_PIECE = 64
"""A piece of no more runs is printed, as long as those are no more than RUNS_IN_ALL together."""
RUNS_IN_ALL = 4096
IN_CACHE_SLOTS = 2048
"""Of two tables, so many slots are compared at once: 256 KiB, which a CPU's cache holds."""

Table = NDArray[Any]
"""Shape (n_slots,): slots in the order of their frames."""


@dataclass(frozen=True)
class Part:
    """Consecutive slots."""

    first: Pfn
    count: int
    runs: int
    """Of equal slots in it, when it is to be printed; 0 when its checksums do."""


@dataclass(frozen=True)
class Contradiction:
    """The first slot of which guest and host say different things, in words."""

    pfn: Pfn
    printed: str
    in_ram: str
    how: str
    """What stands beside them."""


class Reading(Protocol):
    """The guest's own reading of the table, as `Printed` asks for it."""

    def runs(self, first_pfn: Pfn, count: int, most_runs: int | None = None) -> Dump: ...

    def sums(self, first_pfn: Pfn, count: int, piece: int) -> list[int]: ...


def contradiction(reading: Reading, table: Table) -> Contradiction | None:
    """Hold every slot of the guest's own reading against RAM.

    Args:
        table: the whole table in RAM; the guest must stand at its prompt.
    """
    for part in parts_of(table):
        found = _by_bytes(reading, part, table) if part.runs else _by_sums(reading, part, table)
        if found is not None:
            return found
    return None


def parts_of(table: Table) -> Iterator[Part]:
    """What to ask the guest for, in order; the parts tile the table."""
    if not len(table):
        return
    begins = np.ones(len(table), dtype=np.bool_)
    begins[1:] = differing(table[1:], table[:-1])
    edges = np.arange(0, len(table), PIECE_SLOTS)
    runs = np.add.reduceat(begins, edges, dtype=np.int64) + ~begins[edges]
    plain = runs <= RUNS_OF_A_PIECE
    plain &= np.cumsum(runs * plain) <= RUNS_IN_ALL
    borders = [0, *(np.flatnonzero(plain[1:] != plain[:-1]) + 1).tolist(), len(edges)]
    for low, high in itertools.pairwise(borders):
        first, end = low * PIECE_SLOTS, min(high * PIECE_SLOTS, len(table))
        n_runs = 1 + int(np.count_nonzero(begins[first + 1 : end])) if plain[low] else 0
        yield Part(Pfn(first), end - first, n_runs)


def differing(one: Table, other: Table) -> NDArray[np.bool_]:
    """Which slots of two tables of one type differ in any byte: one flag a slot.

    Args:
        other: as many slots, or one that all are held against.
    """
    word = "<u8" if one.dtype.itemsize % 8 == 0 else "u1"
    words, others = (
        np.ascontiguousarray(table)
        .view(word)
        .reshape(len(table), one.dtype.itemsize // np.dtype(word).itemsize)
        for table in (one, other)
    )
    differs: NDArray[np.bool_] = np.zeros(len(one), dtype=np.bool_)
    for first in range(0, len(one), IN_CACHE_SLOTS):
        rows = slice(first, first + IN_CACHE_SLOTS)
        unequal = words[rows] != (others if len(others) == 1 else others[rows])
        np.any(unequal, axis=1, out=differs[rows])
    return differs


def _by_bytes(reading: Reading, part: Part, table: Table) -> Contradiction | None:
    printed = reading.runs(part.first, part.count, part.runs)
    if not _is_in_ram(printed, table):
        return _compare(printed, table)
    if printed.n_slots < part.count:
        # As many runs as in RAM, all as in RAM, yet some slots are left: a run ended too early.
        behind = Pfn(part.first + printed.n_slots)
        # Printed alone it may be as in RAM after all: then the number of runs is what contradicts.
        return _compare(reading.runs(behind, 1), table) or Contradiction(
            behind,
            _tiled(part.first, printed.n_slots, len(printed.repeats)),
            _tiled(part.first, part.count, part.runs),
            "the guest ended a run too early: alone it prints this slot as it is in RAM",
        )
    return None


def _tiled(first: Pfn, n_slots: int, n_runs: int) -> str:
    return f"{plural(n_slots, 'slot')} from {pfn_to_paddr(first):#x} on in {plural(n_runs, 'run')}"


def _is_in_ram(printed: Dump, table: Table) -> bool:
    """Whether each run holds what these slots hold in RAM; no array of all slots is made for it."""
    first = printed.first_pfn
    for slot, count in zip(printed.rows.view(table.dtype), printed.repeats, strict=True):
        if differing(table[first : first + count], slot).any():
            return False
        first = Pfn(first + count)
    return True


def _by_sums(reading: Reading, part: Part, table: Table) -> Contradiction | None:
    told = reading.sums(part.first, part.count, PIECE_SLOTS)
    end = part.first + part.count
    for index, sum_ in enumerate(told):
        first = Pfn(part.first + index * PIECE_SLOTS)
        rows = table[first : min(first + PIECE_SLOTS, end)]
        in_ram = zlib.crc32(np.ascontiguousarray(rows).tobytes())
        if sum_ != in_ram:
            printed = reading.runs(first, len(rows))
            # Printed again it may be as in RAM after all: then the checksum alone is what contradicts.
            return _compare(printed, table) or Contradiction(
                first,
                f"checksum {sum_:#010x}",
                f"checksum {in_ram:#010x}",
                f"of {plural(len(rows), 'slot')}, which the guest prints as they are in RAM",
            )
    return None


def _compare(printed: Dump, table: Table) -> Contradiction | None:
    first, slots = printed.first_pfn, printed.slots.view(table.dtype).reshape(-1)
    in_ram = table[first : first + len(slots)]
    differ = np.flatnonzero(differing(slots, in_ram))
    if not differ.size:
        return None
    at = int(differ[0])
    how = f"{differ.size} of the slots that were printed with it differ"
    return Contradiction(Pfn(first + at), slots[at].tobytes().hex(), in_ram[at].tobytes().hex(), how)
