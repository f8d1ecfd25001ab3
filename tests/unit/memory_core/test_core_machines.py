"""Proves that the maps of large machines make sense, and that a host without room for them is told."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from frame_harness.base.errors import HostRamError
from frame_harness.base.units import Paddr
from frame_harness.judge.evidence import Outcome, RunKey
from frame_harness.memory_core import machines
from frame_harness.memory_core.checks import left_out
from frame_harness.memory_core.machines import LARGE_TOP, Room, cost_of, is_huge, room_for
from frame_harness.memory_core.maps import (
    MAX_REGIONS,
    MapRegion,
    MemoryMap,
    RegionKind,
    Span,
    length,
    without,
)
from frame_harness.memory_core.playing import may_refuse
from frame_harness.memory_core.state import LeftOut
from frame_harness.memory_core.steps import parsed, require_sense, steps_of, written

GIB, MIB = 1 << 30, 1 << 20
RAM: list[Span] = [
    (Paddr(0), Paddr(0x1000)),
    (Paddr(0x2000), Paddr(0x9F000)),
    (Paddr(0x264000), Paddr(3 * GIB)),
    (Paddr(4 * GIB), Paddr(65 * GIB)),
]
MAPS = list(machines.machines(4 * MIB, RAM[-1][1]))


@dataclass
class Host:
    """Stands for a guest with that RAM."""

    spans: list[Span]
    refusal: HostRamError | None = None

    def available(self) -> list[Span]:
        if self.refusal is not None:
            raise self.refusal
        return self.spans


def room(available: int, refusal: HostRamError | None = None) -> Room:
    return room_for(Host(RAM, refusal), available)


@pytest.mark.parametrize("memory", MAPS, ids=lambda memory: memory.name)
def test_a_machine_s_memory_is_there_and_has_room_for_its_slots(memory: MemoryMap) -> None:
    assert without(memory.usable, [(0, 0x9F000), *RAM[2:]]) == []
    assert not may_refuse(memory, "no memory") and len(memory.regions) < MAX_REGIONS // 4
    kinds = {region.kind for region in memory.regions}
    assert kinds >= {RegionKind.FREE, RegionKind.RECLAIM, RegionKind.RESERVED}
    assert any(region.end % 0x1000 for region in memory.regions)


def test_maps_for_which_the_worker_of_a_task_has_no_memory_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = sorted(map(cost_of, MAPS))
    monkeypatch.setattr(machines, "memory_left", lambda: costs[1])
    found = room(1 << 50)
    assert sorted(map(cost_of, found.maps)) == costs[:2]
    assert found.why.startswith("maps left out: ") and found.why.endswith(
        f"this host has {2 * costs[1] // MIB}"
    )


def test_machines_have_eight_to_sixty_four_gib() -> None:
    gib = [round(length(memory.usable) / GIB) for memory in MAPS]
    assert gib == [8, 16, 32, 64]
    assert [memory.top > 1 << 35 for memory in MAPS] == [False, False, True, True]


@pytest.mark.parametrize("memory", MAPS, ids=lambda memory: memory.name)
def test_a_machine_s_map_is_a_case_that_can_be_played_again(memory: MemoryMap) -> None:
    steps = (*steps_of(memory), *machines.operations("movable"))
    require_sense(steps)
    assert parsed(written(steps)) == steps and is_huge(steps)


def test_a_map_of_a_few_gib_needs_no_such_guest() -> None:
    assert not is_huge((MapRegion(4 * MIB, LARGE_TOP - 4 * MIB),))


def test_a_host_with_room_leaves_nothing_out() -> None:
    found = room(64 * GIB)
    assert (len(found.maps), found.why) == (4, "")


def test_a_small_host_leaves_the_largest_maps_out_and_names_them() -> None:
    found = room(2 * cost_of(MAPS[1]))
    assert [memory.name for memory in found.maps] == [memory.name for memory in MAPS[:2]]
    assert all(memory.name in found.why for memory in MAPS[2:]) and "MiB" in found.why


def test_a_host_that_cannot_have_such_a_file_leaves_all_out_and_says_why() -> None:
    found = room(64 * GIB, HostRamError("guest RAM", "64 GiB", detail="Cannot allocate memory"))
    assert found.maps == () and "Cannot allocate memory" in found.why


def test_what_is_left_out_is_a_skipped_check_with_the_reason() -> None:
    result = left_out(RunKey("microvm", "dev"), LeftOut("CORE-01", "maps", "this host has 512 MiB"))
    assert (result.outcome, result.message) == (Outcome.SKIPPED, "this host has 512 MiB")
