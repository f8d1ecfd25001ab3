"""Proves which growth of work is accepted, and how the smaller map is made."""

from __future__ import annotations

from typing import Any

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.catalogue import DMA_END, MIB, reserved, work_catalogue
from frame_harness.memory_core.maps import Islands, MapRegion, MemoryMap, Protected, length
from frame_harness.memory_core.steps import counts_work, parsed, require_sense, written
from frame_harness.memory_core.work import (
    ALLOWANCE,
    PART,
    SLACK,
    Meter,
    growth_of_boot,
    part_of,
    too_much,
)
from frame_harness.memory_core.work_steps import WorkOf, WorkOfBoot

PAGE = 0x1000


def linear(map_: MemoryMap, per_frame: int = 50, fixed: int = 10_000) -> int:
    return fixed + per_frame * (map_.top // PAGE)


def test_the_smaller_map_has_an_eighth_of_each_region_at_the_same_place() -> None:
    island = Islands(0x2000000, 64, 3)
    whole = MemoryMap("", (MapRegion(0x1000000, 64 * PAGE), reserved(0x1008000, 0x100A000), island))
    part = part_of(whole)
    assert part.parts == (MapRegion(0x1000000, 8 * PAGE), whole.parts[1], Islands(0x2000000, 8, 3))


def test_the_smallest_map_keeps_a_frame_of_each_region() -> None:
    tiny = MemoryMap("", (MapRegion(0x1000, PAGE), Islands(0x8000, 1, 1)), (Protected(0, 1),))
    assert part_of(tiny) == tiny


@pytest.mark.parametrize("memory", list(work_catalogue(4 * MIB, 144 * MIB)), ids=lambda memory: memory.name)
def test_linear_work_of_boot_is_accepted_and_quadratic_work_is_not(memory: MemoryMap) -> None:
    small = part_of(memory)
    growth = growth_of_boot(small, memory)
    assert too_much(linear(small), linear(memory), growth) is None
    if len(memory.regions) == len(small.regions):
        little, much = ((length(one.usable) // PAGE) ** 2 for one in (small, memory))
        assert too_much(little, much, growth) is not None


def test_work_may_be_quadratic_in_regions_and_not_cubic() -> None:
    memory = MemoryMap("", (MapRegion(0x400000, 12 * MIB), Islands(DMA_END + 4 * MIB, 256, 1)))
    small = part_of(memory)
    growth = growth_of_boot(small, memory)
    for power, accepted in ((2, True), (3, False)):
        little, much = (100 * len(one.regions) ** power for one in (small, memory))
        assert (too_much(little, much, growth) is None) is accepted


def test_a_walk_over_free_blocks_is_more_than_the_allowance() -> None:
    call, step = 1000, 5
    assert too_much(call, call, 1.0) is None
    assert too_much(call + step * 2000, call + step * 2000 * PART, 1.0) is not None
    assert too_much(call, ALLOWANCE * call + SLACK, 1.0) is None
    assert too_much(call, ALLOWANCE * call + SLACK + 1, 1.0) == ALLOWANCE * call + SLACK


@pytest.mark.parametrize("text", ["work of boot", "work of order 3 movable"])
def test_a_step_that_counts_work_is_read_as_it_is_written(text: str) -> None:
    steps = parsed(f"0x1000000..0x9000000 free; {text}")
    assert written(steps).endswith(text) and counts_work(steps)
    require_sense(steps)


@pytest.mark.parametrize(
    "text",
    ["b1 = alloc 0 unmovable any; work of boot", "work of order 12 movable", "work of boot; work of boot"],
)
def test_work_that_cannot_be_counted_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="case"):
        require_sense(parsed(text))


def test_a_case_that_counts_work_becomes_simpler_until_it_is_plain() -> None:
    step, seen = WorkOf(9, "movable"), 0
    while simpler := list(step.simpler()):
        step, seen = simpler[-1], seen + 1
    assert step == WorkOf(0) and seen <= 10 and not list(WorkOfBoot().simpler())


WIDE = MemoryMap("", (MapRegion(0x1000000, 64 * MIB),))


class StartsOnTheWholeAlone:
    """A core that panics where its map is smaller."""

    def __init__(self, words: str) -> None:
        self._words = words
        self.looked_at: set[str] = set()

    def start(self, memory: MemoryMap, command: str) -> Reply:
        if memory == WIDE:
            cost = dict.fromkeys(("calls", "total", "most"), "1")
            return Reply(command, ReplyLine(1, "ok", fields=Fields(cost)))
        return Reply(command, ReplyLine(1, "panic", text=self._words, file="buddy.rs", line=7))


def test_a_panic_on_the_eighth_of_a_map_that_has_room_is_no_refusal() -> None:
    core: Any = StartsOnTheWholeAlone("assertion failed: islands != 8")
    meter = Meter(core, WIDE, [])
    assert meter.boot() is None and meter.panic is not None
    assert (meter.panic[0], meter.panic[2].status) == ("CORE-01", "panic")
    meter = Meter(core, WIDE, [])
    assert meter.operations(0, "unmovable") is None and meter.panic is not None


def test_a_refusal_in_words_of_an_eighth_without_room_is_no_panic() -> None:
    little = MemoryMap("", (MapRegion(0x1000000, 64 * PAGE),))
    meter = Meter(StartsOnTheWholeAlone("no room for slots"), little, [])  # type: ignore[arg-type]
    assert meter.boot() is None and meter.panic is None
