"""Proves that every slot of the guest's own reading is held against RAM, and that garbage costs little."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frame_harness.base.units import Pfn
from frame_harness.console.dump import Dump
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.printed import Printed
from frame_harness.guest.table_witness import PIECE_SLOTS, RUNS_IN_ALL, Contradiction, contradiction, parts_of
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from tests.support.red_kernels import red_shim

SLOT = np.dtype([("word", "<u8"), ("other", "<u8")])
CONSOLE_BYTES = 64 << 10


class Reader:
    """A guest whose reading of its table may be another than the host's."""

    def __init__(self, table: NDArray[Any]) -> None:
        self.table, self.lines = table, 0

    def runs(self, first_pfn: Pfn, count: int, most_runs: int | None = None) -> Dump:
        part = self.table[first_pfn : first_pfn + count]
        begins = np.flatnonzero(np.append(True, part[1:] != part[:-1]))
        if most_runs is not None and len(begins) > most_runs:
            part, begins = part[: begins[most_runs]], begins[:most_runs]
        self.lines += len(begins)
        rows = part[begins].view(np.uint8).reshape(len(begins), -1)
        return Dump(first_pfn, rows, tuple(np.diff(np.append(begins, len(part))).tolist()))

    def sums(self, first_pfn: Pfn, count: int, piece: int) -> list[int]:
        end = first_pfn + count
        parts = [self.table[at : min(at + piece, end)] for at in range(first_pfn, end, piece)]
        self.lines += len(parts)
        return [zlib.crc32(part.tobytes()) for part in parts]


def compared(read: NDArray[Any], in_ram: NDArray[Any]) -> Contradiction | None:
    return contradiction(Reader(read), in_ram)


def half_garbage(n_slots: int, seed: int = 1) -> NDArray[Any]:
    table = np.zeros(n_slots, dtype=SLOT)
    table["word"][n_slots // 3 : n_slots // 2] = np.random.default_rng(seed).integers(
        0, 2**63, n_slots // 2 - n_slots // 3
    )
    return table


@pytest.mark.parametrize("pfn", [0, 1, 700, 4999, 5000, 6143, 7000, 8191, 12_345, 14_999])
@pytest.mark.parametrize("field", ["word", "other"])
def test_one_slot_that_is_read_otherwise_is_found_wherever_it_lies(pfn: Pfn, field: str) -> None:
    in_ram = half_garbage(15_000)
    read = in_ram.copy()
    read[field][pfn] ^= 1
    found = compared(read, in_ram)
    assert found is not None
    words = read[pfn].tobytes().hex(), in_ram[pfn].tobytes().hex()
    assert (found.pfn, found.printed, found.in_ram) == (pfn, *words)


def test_a_run_that_goes_on_too_short_is_found_behind_all_that_was_printed() -> None:
    """What the guest printed is as in RAM; the slot behind it is not, and its run was one too many."""
    in_ram = np.zeros(100, dtype=SLOT)
    read = in_ram.copy()
    read["word"][60:] = 1
    found = compared(read, in_ram)
    assert found is not None and found.pfn == 60


class Hasty(Reader):
    """A guest that ends a run after its first slot."""

    def runs(self, first_pfn: Pfn, count: int, most_runs: int | None = None) -> Dump:
        return super().runs(first_pfn, 1 if most_runs else count, most_runs)


def test_a_run_that_ends_before_an_equal_slot_contradicts_ram_since_no_slot_behind_was_looked_at() -> None:
    in_ram = np.zeros(100, dtype=SLOT)
    read = in_ram.copy()
    read["word"][60] = 1
    found = contradiction(Hasty(read), in_ram)
    assert found is not None and found.pfn == 1
    assert found.printed == "1 slot from 0x0 on in 1 run"
    assert found.in_ram == "100 slots from 0x0 on in 1 run"
    assert "ended a run too early" in found.how


class Miscounting(Reader):
    """A guest that tells wrong checksums of what it prints as it is."""

    def sums(self, first_pfn: Pfn, count: int, piece: int) -> list[int]:
        return [sum_ ^ 1 for sum_ in super().sums(first_pfn, count, piece)]


def test_a_wrong_checksum_is_held_against_the_right_one_where_all_slots_are_as_in_ram() -> None:
    in_ram = half_garbage(15_000)
    found = contradiction(Miscounting(in_ram), in_ram)
    assert found is not None and found.pfn % PIECE_SLOTS == 0
    right = zlib.crc32(in_ram[found.pfn : found.pfn + PIECE_SLOTS].tobytes())
    assert (found.in_ram, found.printed) == (f"checksum {right:#010x}", f"checksum {right ^ 1:#010x}")
    assert found.how == "of 1024 slots, which the guest prints as they are in RAM"


def test_equal_tables_contradict_nothing() -> None:
    for n_slots in (0, 1, PIECE_SLOTS, PIECE_SLOTS + 1, 15_000):
        assert compared(half_garbage(n_slots), half_garbage(n_slots)) is None


@given(st.integers(0, 6 * PIECE_SLOTS), st.integers(0, 2**32), st.integers(1, 400), st.integers(0, 2))
def test_parts_tile_the_table_in_order(n_slots: int, seed: int, longest: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n_slots + 1)
    table = np.zeros(n_slots, dtype=SLOT)
    table["word"] = np.repeat(rng.integers(0, values + 1, n_slots + 1), lengths)[:n_slots]
    at = 0
    for part in parts_of(table):
        assert part.first == at and part.count > 0
        at += part.count
    assert at == n_slots


@pytest.mark.parametrize("longest", [1, 2, 20, 3000])
def test_what_is_printed_has_a_bound_whatever_the_slots_hold(longest: int) -> None:
    rng = np.random.default_rng(longest)
    n_slots = 400 * PIECE_SLOTS
    table = np.zeros(n_slots, dtype=SLOT)
    n_runs = 2 * n_slots // longest + 100
    lengths = rng.integers(1, longest + 1, n_runs)
    table["word"] = np.repeat(rng.integers(0, 2**63, n_runs), lengths)[:n_slots]
    reader = Reader(table)
    assert contradiction(reader, table) is None
    assert reader.lines <= RUNS_IN_ALL + n_slots // PIECE_SLOTS


@pytest.fixture
def full_of_garbage(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A guest whose slots the host has overwritten; the words are for its command line."""
    with red_shim():
        image = build(frame_module(), "release")
    with Kernel.boot(image, load_machine("microvm"), extra=request.param) as kernel:
        table = kernel.slots()
        kept = table.copy()
        garbage = np.random.default_rng(1).bytes(table.nbytes)
        table.view(np.uint8)[:] = np.frombuffer(garbage, np.uint8)
        yield kernel
        table[:] = kept


@pytest.mark.parametrize("full_of_garbage", [()], indirect=True)
def test_a_guest_with_a_table_of_garbage_is_compared_in_few_words(full_of_garbage: Kernel) -> None:
    kernel = full_of_garbage
    before = kernel.channel.transcript.n_received
    assert contradiction(Printed(kernel), kernel.slots()) is None
    assert kernel.channel.transcript.n_received - before < CONSOLE_BYTES
    assert kernel.dumps_requested == kernel.dumps_whole > 0


@pytest.mark.parametrize("full_of_garbage", [("red=lie-dump",)], indirect=True)
def test_a_guest_that_lies_about_garbage_is_found_out(full_of_garbage: Kernel) -> None:
    found = contradiction(Printed(full_of_garbage), full_of_garbage.slots())
    assert found is not None and found.pfn == 0
