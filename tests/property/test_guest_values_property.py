"""Whatever a guest's memory holds, reading it gives a value or names the clause that is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frame_harness.base.units import (
    KERNEL_VMA,
    MIB,
    PAGE_SHIFT,
    PAGE_SIZE,
    Paddr,
    Vaddr,
    paddr_to_pfn,
    paddr_to_vaddr,
)
from frame_harness.concurrency.smp import Cpus
from frame_harness.frame_guest import values as guest_values
from frame_harness.frame_guest.canary import PayloadWatch
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_guest.memory_view import memory_state
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.preflight import judge_new_slots
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.view import Region
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, ViolatedInvariant, decode, encode
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import GuestRam
from frame_harness.session.invariant_results import invariant_results
from tests.support.synthetic import SLOT

HHDM = Vaddr(0xFFFF_8000_0000_0000)
LOW, HIGH = 2 * MIB, 1 * MIB  # of RAM, with a hole of 1 MiB between
ABOVE, END = Paddr(LOW + MIB), Paddr(LOW + MIB + HIGH)
FRAMES = paddr_to_pfn(END)
IMAGE, TABLE, BUDDY, SMP = (Paddr(at) for at in (0x10_0000, 0x18_0000, 0x14_0000, 0x16_0000))
WITNESS = np.dtype([(name, "<u8") for name in (
    "magic", "version", "hhdm_base", "meta_paddr", "meta_bytes", "n_frames", "buddy_vaddr",
    "kernel_first_paddr", "kernel_end_paddr",
)])  # fmt: skip
COUNTERS = ("first_pfn", "end_pfn", "managed", "free", "cached", "allocated", "quarantined", "reserved")
ZONE = np.dtype([*((name, "<u8") for name in COUNTERS), ("heads", "<u8", (2, 12))])
CACHE = np.dtype([("len", "<u8"), ("frames", "<u8", (16,))])
STATE = np.dtype([("n_zones", "<u8"), ("zones", ZONE, (3,)), ("caches", CACHE, (8, 2))])
NUMBERS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, FRAMES + 2).map(lambda pfn: pfn << PAGE_SHIFT),
    st.sampled_from([0, 1, 2**32 - 1, 2**63, 2**64 - 1, HHDM, KERNEL_VMA]),
)


class FakeImage:
    lacks: tuple[str, ...] = ()
    slot_type = "MetaSlot"
    subject = frame_module()

    def dtype(self, name: str) -> np.dtype[Any]:
        return {"MetaSlot": SLOT, "Witness": WITNESS, "BuddyState": STATE}[name]

    def symbol(self, _: str) -> tuple[Vaddr, int]:
        return paddr_to_vaddr(IMAGE, KERNEL_VMA), WITNESS.itemsize


class FakeKernel(Kernel):
    """A guest without a QEMU: its memory, and what it answers about its map."""

    def __init__(self) -> None:
        self.ram = GuestRam(LOW + HIGH, None)
        self.ram.ranges = (RamRange(Paddr(0), Paddr(LOW), 0), RamRange(ABOVE, END, LOW))
        self.image = cast("Any", FakeImage())
        self.hhdm, self.frames = HHDM, FRAMES
        self._slots = None

    def __repr__(self) -> str:
        return "a fake kernel"

    def memory_map(self) -> list[Region]:
        taken = [Region(IMAGE, Paddr(LOW), "kernel")]
        return [Region(Paddr(0), IMAGE, "ram"), *taken, Region(ABOVE, END, "ram")]

    def healthy(self) -> None:
        """All slots as new, nothing free."""
        record = self.static("WITNESS", "Witness")
        record["hhdm_base"], record["meta_paddr"], record["n_frames"] = HHDM, TABLE, FRAMES
        record["meta_bytes"], record["buddy_vaddr"] = FRAMES * 64, HHDM + BUDDY
        slots = self.ram.array(TABLE, SLOT, FRAMES)
        slots.view(np.uint8)[:] = 0
        slots["next"] = slots["prev"] = 2**64 - 1
        state = self.record(paddr_to_vaddr(BUDDY, HHDM), "BuddyState")
        self.bytes_at(paddr_to_vaddr(BUDDY, HHDM), STATE.itemsize)[:] = 0
        state["n_zones"] = 3
        state["zones"]["heads"] = 2**64 - 1
        self._slots = None


@pytest.fixture(scope="module")
def kernel() -> Iterator[FakeKernel]:
    yield FakeKernel()


def look_at_everything(kernel: FakeKernel) -> None:
    """All that checks and preflight read of a guest's memory."""
    watch = PayloadWatch(kernel, limit=16)
    state = memory_state(
        kernel, watch.read(), quarantined=[Paddr(int(x)) for x in kernel.buddy()["caches"]["len"].flat]
    )
    assert judge_new_slots(kernel).evaluated == FRAMES
    report = INVARIANTS.check_all(state, INVARIANTS.check_all(state).past)
    assert set(report.results) == set(INVARIANTS)
    run = RunKey("m", "dev")
    found = [ViolatedInvariant(name=r.id, clauses=r.clauses, text=r.text) for r in report if r.total]
    for result in invariant_results(kernel.image.subject.contract, run, found, str):
        assert decode(encode(result), CheckResult).outcome is Outcome.VIOLATED
    kernel.live_frames()
    kernel.cached_frames()
    kernel.generation_changes(lambda: None)
    guest_values.frames_of_the_buddy(kernel, kernel.live_frames())
    kernel.free_blocks()


def expect_value_or_broken_clause(read: Callable[[], object]) -> None:
    try:
        read()
    except ImpossibleValue as value:
        assert value.clause in CLAUSES
        assert value.what and value.expected and value.got
        assert value.frame is None or 0 <= value.frame < 2**64


SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.integers(0, FRAMES), st.integers(0, FRAMES), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_bytes_as_slots_are_judged(
    kernel: FakeKernel, seed: int, first: int, count: int, everything: bool
) -> None:
    kernel.healthy()
    slots = kernel.slots().view(np.uint8).reshape(FRAMES, 64)
    part = slots if everything else slots[first : first + count]
    part[:] = np.random.default_rng(seed).integers(0, 256, part.shape, dtype=np.uint8)
    expect_value_or_broken_clause(lambda: look_at_everything(kernel))


@given(
    st.lists(st.tuples(st.integers(0, STATE.itemsize // 8 - 1), NUMBERS), max_size=40), SEEDS, st.booleans()
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_words_as_the_buddy_are_judged(
    kernel: FakeKernel, words: list[tuple[int, int]], seed: int, random: bool
) -> None:
    kernel.healthy()
    memory = kernel.bytes_at(paddr_to_vaddr(BUDDY, HHDM), STATE.itemsize)
    if random:
        memory[:] = np.random.default_rng(seed).integers(0, 256, memory.shape, dtype=np.uint8)
    for at, word in words:
        memory.view("<u8")[at] = word
    expect_value_or_broken_clause(lambda: look_at_everything(kernel))


@given(NUMBERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_table_anywhere_is_read_or_breaks_its_clause(kernel: FakeKernel, meta_paddr: Paddr) -> None:
    kernel.healthy()
    kernel.static("WITNESS", "Witness")["meta_paddr"] = meta_paddr
    expect_value_or_broken_clause(lambda: look_at_everything(kernel))


@given(NUMBERS, st.integers(0, 11))
def test_any_address_that_is_handed_out_is_a_block_or_breaks_its_clause(paddr: Paddr, order: int) -> None:
    kernel = FakeKernel()
    try:
        assert guest_values.block_handed_out(kernel, paddr, order) == paddr
        kernel.payload(paddr, 1 << order)
        assert (paddr >> PAGE_SHIFT) + (1 << order) <= FRAMES and paddr % PAGE_SIZE == 0
    except ImpossibleValue as value:
        assert value.clause == "ALLOC-14"


@given(st.lists(NUMBERS, min_size=6, max_size=6))
def test_any_numbers_in_the_record_of_a_program_are_told(numbers: list[int]) -> None:
    cpus = Cpus.__new__(Cpus)
    counters = np.dtype([(name, "<u8") for name in (
        "iterations", "steps", "allocated", "released", "out_of_memory", "won", "lost", "last_refs", "rounds",
        "live", "on_last_ref", "on_unmap", "violations", "panics",
    )])  # fmt: skip
    first = [(name, "<u8") for name in ("op", "paddr", "expected", "got", "iteration", "tsc")]
    entry = np.dtype([(name, "<u8") for name in ("op", "began_tsc", "ended_tsc", "result")])
    cpu = np.dtype(
        [
            *((n, "<u8") for n in (*(counters.names or ()), "began_tsc", "ended_tsc", "n_logged")),
            *first,
            ("log", entry, (4,)),
        ]
    )
    table = np.zeros(1, dtype=[("cpus", cpu, (2,))])[0]
    record = table["cpus"][0]
    record["op"], record["paddr"], record["n_logged"], record["violations"] = numbers[:4]
    record["log"]["op"][:2] = numbers[4:]
    cpus.table = table
    assert len(cpus.log(0)) == min(numbers[2], 4)
    outcome = cpus._outcome([0], 1.0)
    assert len(outcome.violations) == (numbers[0] != 0)
    assert outcome.total("violations") == numbers[3]
