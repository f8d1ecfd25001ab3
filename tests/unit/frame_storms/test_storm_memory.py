"""What a storm of a frame module must leave behind, without a guest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.units import Paddr
from frame_harness.concurrency.smp import COUNTERS, ProgramResult
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_storms.table import FrameMemory, growth_of
from frame_harness.guest.checks import ClauseViolated

FRAME = Paddr(0x2000)
FREE = {(4, 2, "movable"), (8, 3, "unmovable")}
ALL = (("flags", "<u4"), ("refcount", "<u4"), ("generation", "<u4"), ("guard", "<u4"))


class Guest:
    """Stands in for a guest of four frames."""

    def __init__(self, fields: tuple[tuple[str, str], ...] = ALL) -> None:
        self.table: NDArray[Any] = np.zeros(4, np.dtype(list(fields)))
        self.done: list[str] = []
        self.free = set(FREE)
        self.image = SimpleNamespace(has=lambda name: name.partition(".")[2] in dict(fields))

    def slots(self) -> NDArray[Any]:
        return self.table

    def call(self, command: str) -> None:
        self.done.append(command)

    def free_blocks(self) -> set[tuple[int, int, str]]:
        self.done.append("look at free blocks")
        return set(self.free)

    def alloc(self, *, zeroed: bool) -> Paddr:
        self.done.append(f"alloc zeroed={zeroed}")
        return FRAME

    def release(self, paddr: Paddr) -> None:
        self.done.append(f"release {paddr:#x}")


def memory_of(guest: Guest) -> FrameMemory:
    return FrameMemory(cast("Kernel", guest))


def allocated(count: int) -> ProgramResult:
    return ProgramResult({0: dict.fromkeys(COUNTERS, 0) | {"allocated": count}}, (), 0.0)


@pytest.mark.parametrize(
    ("before", "now", "growth"),
    [
        ([5, 5], [5, 5], 0),
        ([5, 5], [6, 9], 5),
        ([2**32 - 1, 0], [0, 0], 1),
        ([2**32 - 1, 2**32 - 2], [2**32 - 2, 2**32 - 3], 2**33 - 2),
    ],
    ids=["nothing", "two frames", "round the end", "more than 32 bits in all"],
)
def test_lives_are_counted_round_the_end_of_a_generation(
    before: list[int], now: list[int], growth: int
) -> None:
    assert growth_of(np.array(before, "<u4"), np.array(now, "<u4")) == growth


def test_free_blocks_are_noted_with_empty_caches_before_frames_are_taken() -> None:
    guest = Guest()
    assert memory_of(guest).take(2) == [FRAME, FRAME]
    assert guest.done == ["buddy.drain", "look at free blocks", *["alloc zeroed=False"] * 2]


def test_a_life_that_nobody_counted_is_a_violation_of_the_function_that_allocates() -> None:
    guest = Guest()
    memory = memory_of(guest)
    memory.begin()
    guest.table["generation"][1] += 2
    memory.end(allocated(2), [])
    with pytest.raises(ClauseViolated, match="generations that began") as raised:
        memory.end(allocated(1), [])
    assert (raised.value.field, raised.value.function) == ("generation", "FrameAllocOptions::allocate")


def test_frames_go_back_as_they_came_with_whatever_a_storm_left_in_their_slots() -> None:
    guest = Guest()
    guest.table["refcount"], guest.table["guard"], guest.table["flags"] = 77, 78, 79
    memory_of(guest).end(allocated(0), [FRAME])
    assert guest.table["refcount"].tolist() == [77, 77, 1, 77]
    assert guest.table["guard"].tolist() == [78, 78, 0, 78]
    assert set(guest.table["flags"].tolist()) == {79}
    assert guest.done == [f"release {FRAME:#x}", "buddy.drain"]


def test_a_version_without_generations_and_guards_is_judged_without_them() -> None:
    guest = Guest(ALL[:2])
    memory = memory_of(guest)
    memory.begin()
    memory.end(allocated(9), [FRAME])
    assert guest.table["refcount"].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (FREE - {(4, 2, "movable")}, "missing from the free lists"),
        (FREE | {(12, 0, "movable")}, "that were not there at first"),
    ],
)
def test_blocks_that_are_lost_or_new_are_a_violation(now: set[tuple[int, int, str]], what: str) -> None:
    guest = Guest()
    memory = memory_of(guest)
    memory.take(0)
    memory.expect_as_before()
    guest.free = now
    with pytest.raises(ClauseViolated, match=what):
        memory.expect_as_before()
