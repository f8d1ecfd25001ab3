"""Contract kind S, forced: one CPU is stopped before and inside every instruction, another one runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.checks import ClauseViolated
from harness.interleaving import SECOND, Turn, interleaved
from harness.kernel import Boot, Kernel
from harness.smp import Cpus
from harness.units import PAGE_SHIFT

pytestmark = pytest.mark.one_machine

LIVE = 0x500
COW, POISONED_FLAG = 1 << 0, 1 << 12
KERNEL_ONLY, POISONED_GUARD = 1 << 0, 1 << 31
UNUSED = 2**32 - 1
GENERATION = 41
META_AUX = 44  # offset of the holder's own field, behind all others


def slot_of(kernel: Kernel, paddr: int) -> NDArray[np.void]:
    """The slot of a frame as an array of one, live in guest RAM."""
    pfn = paddr >> PAGE_SHIFT
    return kernel.slots()[pfn : pfn + 1]


def expect_at(turn: Turn, what: str, got: int, expected: int, *, frame: int, field: str) -> None:
    if got != expected:
        raise ClauseViolated(
            f"{what} ({turn.describe()})",
            expected=f"{expected:#x}",
            got=f"{got:#x}",
            frame=frame,
            field=field,
        )


def clash(boot: Boot, first: str, second: str, before: dict[str, int], after: dict[str, int]) -> int:
    """Run two steps on one live frame, the second at every point of the first; returns how many those are."""
    frames: list[int] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.alloc(zeroed=False))
        cpus.frames(frames)
        return first, second

    turns = 0
    with interleaved(boot, prepare) as both:
        slot = slot_of(both.kernel, frames[0])

        def reset() -> None:
            for field, value in before.items():
                slot[field] = value

        for turn in both.every_preemption(slot.view(np.uint8), reset):
            turns += 1
            for field, value in after.items():
                what = f"{field} after {first} and {second}"
                expect_at(turn, what, int(slot[field][0]), value, frame=frames[0], field=field)
    assert turns
    return turns


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_a_flag_that_is_set_while_a_frame_is_poisoned_stays(boot: Boot) -> None:
    before = {"flags": LIVE, "guard": KERNEL_ONLY}
    after = {"flags": LIVE | POISONED_FLAG | COW, "guard": KERNEL_ONLY | POISONED_GUARD}
    clash(boot, "poison@0", f"or@0={COW:#x}", before, after)


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_a_flag_that_is_cleared_while_a_frame_is_poisoned_stays_clear(boot: Boot) -> None:
    before = {"flags": LIVE | COW, "guard": 0}
    clash(boot, "poison@0", f"andnot@0={COW:#x}", before, {"flags": LIVE | POISONED_FLAG})


@pytest.mark.clause("REF-04", at="MetaSlot::inc_ref")
@pytest.mark.parametrize(
    ("first", "second", "end"), [("inc", "inc", 7), ("inc", "dec", 5), ("dec", "dec", 3)]
)
def test_no_reference_is_lost_between_two_cpus(boot: Boot, first: str, second: str, end: int) -> None:
    clash(boot, f"{first}@0", f"{second}@0", {"refcount": 5}, {"refcount": end})


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_a_claim_between_the_looks_of_another_one_wins_alone(boot: Boot) -> None:
    frames: list[int] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.alloc(zeroed=False))
        cpus.frames(frames)
        return "claim@0", "claim@0"

    with interleaved(boot, prepare) as both:
        slot = slot_of(both.kernel, frames[0])

        def reset() -> None:
            slot["refcount"] = UNUSED
            both.cpus.table["tally"] = 0

        for turn in both.every_preemption(slot.view(np.uint8), reset):
            winners = int(both.cpus.table["tally"])
            expect_at(turn, "winners of two claims", winners, 1, frame=frames[0], field="refcount")


@pytest.mark.clause("ALLOC-16", at="FrameAllocOptions::allocate")
def test_no_reader_ever_sees_half_a_life(boot: Boot) -> None:
    """Another CPU reads the slot at every moment of an allocation at which the slot has changed."""
    frames: list[int] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.buddy_alloc(0, "unmovable"))
        slot = kernel.slot(frames[0])
        slot.set_guard(KERNEL_ONLY)
        slot.set_vtable_bits(kernel.vtable("both"))
        slot.set_generation(GENERATION)
        kernel.payload(frames[0])[:] = 0xA5
        kernel.offer(frames[0])
        cpus.frames(frames)
        return "alloc.zeroed", "look@0"

    whole = {"generation": GENERATION + 1, "guard": 0, "vtable": 0, "flags": LIVE, "order": 0, "payload": 0}
    live = 0
    with interleaved(boot, prepare) as both:
        for turn in both.every_change(slot_of(both.kernel, frames[0]).view(np.uint8)[:META_AUX]):
            seen = both.cpus.seen(SECOND)
            if seen["refcount"] != 1 or turn.ended:
                continue  # when it has ended the holder has written to the frame
            live += 1
            for field, value in whole.items():
                what = f"{field} of a frame whose count is 1"
                expect_at(turn, what, seen[field], value, frame=frames[0], field=field)
    assert live
