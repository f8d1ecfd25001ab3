"""Proves by states made by hand what each rule about a memory core accepts and rejects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frame_harness.base.units import Paddr, Pfn
from frame_harness.memory_core.boot_memory import judge_boot
from frame_harness.memory_core.judging import (
    Owned,
    accepted,
    can_serve,
    follows_from,
    judge_population,
    judge_state,
    judge_structures,
    why_not,
)
from frame_harness.memory_core.maps import MapRegion, MemoryMap, Protected, Span
from frame_harness.memory_core.playing import may_refuse
from frame_harness.memory_core.state import CoreState, FreeBlock, ListFault, Segment, Structure, ZoneCounters

PAGE, MIB = 0x1000, 1 << 20
MAP = MemoryMap("", (MapRegion(0x10000, 0x20000),))
# Frames 16 to 47 are usable; the core's own are 16 and 17.
STATE = CoreState(
    segments=(Segment(0, Pfn(18), Pfn(48)),),
    blocks=(
        FreeBlock(Pfn(18), 1, 0, 0),
        FreeBlock(Pfn(20), 2, 0, 0),
        FreeBlock(Pfn(24), 3, 0, 0),
        FreeBlock(Pfn(32), 4, 0, 0),
    ),
    faults=(),
    cached=(),
    zones=(ZoneCounters(managed=30, allocated=0, cached=0),),
    structures=(Structure("slot table", (Paddr(0x10000), Paddr(0x12000))),),
    max_order=11,
    quarantined=0,
)


def broken(
    state: CoreState, *owned: Owned, memory: MemoryMap = MAP, quarantine: tuple[Owned, ...] = ()
) -> set[str]:
    found = {
        *judge_structures(state, memory),
        *judge_state(state, memory, owned, quarantine),
        *(judge_population(state, memory) if not owned and not quarantine else ()),
    }
    return {violation.clause for violation in found}


def test_sound_state_breaks_nothing() -> None:
    assert broken(STATE) == set()


def test_sound_state_with_blocks_in_each_place_breaks_nothing() -> None:
    state = replace(
        STATE,
        blocks=STATE.blocks[3:],
        cached=((Pfn(18), 0, 0), (Pfn(19), 0, 3)),
        zones=(ZoneCounters(managed=30, allocated=10, cached=2, cached_of_kind=(2, 0)),),
        quarantined=4,
        cached_in_all=2,
    )
    assert broken(state, Owned(Pfn(24), 3, "movable"), quarantine=(Owned(Pfn(20), 2, "unmovable"),)) == set()


@pytest.mark.parametrize(
    ("clause", "state"),
    [
        ("CORE-02", replace(STATE, structures=(Structure("slot table", (Paddr(0x8000), Paddr(0x12000))),))),
        (
            "CORE-02",
            replace(
                STATE, structures=(*STATE.structures, Structure("bits", (Paddr(0x11000), Paddr(0x11800))))
            ),
        ),
        (
            "CORE-02",
            replace(
                STATE,
                structures=(
                    *STATE.structures,
                    Structure("b", (Paddr(0x11000), Paddr(0x11800)), (Paddr(0), Paddr(1))),
                ),
            ),
        ),
        ("CORE-03", replace(STATE, blocks=(*STATE.blocks, FreeBlock(Pfn(48), 0, 0, 0)))),
        ("CORE-03", replace(STATE, cached=((Pfn(48), 0, 0),))),
        ("CORE-04", replace(STATE, blocks=(*STATE.blocks, FreeBlock(Pfn(17), 0, 0, 0)))),
        ("CORE-05", replace(STATE, blocks=STATE.blocks[1:])),
        ("CORE-06", replace(STATE, blocks=(FreeBlock(Pfn(18), 2, 0, 0), *STATE.blocks[2:]))),
        ("CORE-07", replace(STATE, blocks=(*STATE.blocks, FreeBlock(Pfn(19), 0, 0, 0)))),
        ("CORE-07", replace(STATE, cached=((Pfn(40), 0, 0),))),
        ("CORE-07", replace(STATE, faults=(ListFault("a list leads nowhere", "a frame", "0x1", Pfn(0)),))),
        (
            "CORE-08",
            replace(
                STATE, blocks=(*STATE.blocks[:3], FreeBlock(Pfn(32), 3, 0, 0), FreeBlock(Pfn(40), 3, 0, 0))
            ),
        ),
        ("CORE-18", replace(STATE, zones=(ZoneCounters(30, 1, 0),))),
        ("CORE-18", replace(STATE, zones=(ZoneCounters(30, 0, 1),))),
        ("CORE-18", replace(STATE, zones=(ZoneCounters(31, 0, 0),))),
        ("CORE-18", replace(STATE, zones=(ZoneCounters(30, 0, 0, cached_of_kind=(0, 1)),))),
        ("CORE-18", replace(STATE, cached_in_all=1)),
        ("CORE-02", replace(STATE, structures=(Structure("t", (Paddr(0x10008), Paddr(0x12000)), align=16),))),
        (
            "CORE-02",
            replace(
                STATE,
                structures=(
                    *STATE.structures,
                    Structure("a", (Paddr(0x11000), Paddr(0x11002)), (Paddr(0x11000), Paddr(0x12000))),
                    Structure("b", (Paddr(0x11001), Paddr(0x11003)), (Paddr(0x11000), Paddr(0x12000))),
                ),
            ),
        ),
        ("CORE-19", replace(STATE, quarantined=1)),
    ],
)
def test_each_rule_rejects_a_state_that_breaks_it(clause: str, state: CoreState) -> None:
    assert clause in broken(state)


def test_a_block_in_two_hands_is_told_by_who_has_it() -> None:
    assert "CORE-14" in broken(STATE, Owned(Pfn(20), 0, "unmovable"))
    assert "CORE-14" in broken(STATE, Owned(Pfn(48), 0, "unmovable"), Owned(Pfn(48), 0, "unmovable"))
    assert "CORE-19" in broken(STATE, quarantine=(Owned(Pfn(20), 2, "unmovable"),))


def test_zone_that_covers_holes_counts_what_it_has() -> None:
    spread = replace(STATE, segments=(Segment(0, Pfn(18), Pfn(100), holes=True),))
    assert broken(spread) == set()
    assert broken(replace(spread, zones=(ZoneCounters(82, 0, 0),))) == {"CORE-18"}


def test_block_of_the_other_kind_is_no_buddy() -> None:
    halves = (FreeBlock(Pfn(32), 3, 0, 0), FreeBlock(Pfn(40), 3, 1, 0))
    assert broken(replace(STATE, blocks=(*STATE.blocks[:3], *halves))) == set()


def test_protected_memory_is_named_as_the_place_of_a_stray_block() -> None:
    memory = replace(MAP, protected=(Protected(0x20000, 1),))
    [found] = [one for one in judge_state(STATE, memory, (), ()) if one.clause == "CORE-03"]
    assert (found.got, found.paddr) == ("a protected range", 0x20000)


def test_what_was_wrong_at_the_start_is_not_told_again() -> None:
    state = replace(STATE, blocks=(*STATE.blocks, FreeBlock(Pfn(17), 0, 0, 0), FreeBlock(Pfn(50), 0, 0, 0)))
    assert not [
        one.clause
        for one in judge_state(state, MAP, (), (), accepted(state, MAP))
        if one.clause in ("CORE-03", "CORE-04")
    ]


@pytest.mark.parametrize(
    ("order", "zone", "first"), [(4, "any", 32), (4, "dma", 32), (5, "any", None), (0, "normal", None)]
)
def test_free_frames_serve_what_fits_into_them(order: int, zone: str, first: int | None) -> None:
    assert can_serve(STATE, order, zone) == first


def test_frames_in_caches_and_small_blocks_serve_together() -> None:
    state = replace(
        STATE,
        blocks=(FreeBlock(Pfn(18), 1, 0, 0), FreeBlock(Pfn(21), 0, 0, 0)),
        cached=((Pfn(20), 0, 0), (Pfn(23), 1, 0)),
    )
    assert can_serve(state, 1, "any") == 18
    assert can_serve(state, 2, "any") is None
    assert can_serve(replace(state, cached=(*state.cached, (Pfn(22), 0, 5))), 2, "any") == 20


def test_why_an_allocation_finds_nothing_is_told_by_where_frames_are() -> None:
    assert why_not(STATE, 0, "movable", "any") == "a block on a free list"
    empty = replace(STATE, blocks=())
    cached = replace(empty, cached=((Pfn(20), 1, 0),))
    assert why_not(cached, 0, "unmovable", "any") == "movable frames in caches, asked for unmovable memory"
    assert why_not(cached, 0, "unmovable", "dma") == "movable frames in caches, asked of one zone alone"
    of_others = "movable frames in caches of other CPUs, asked for movable memory"
    assert why_not(cached, 0, "movable", "any", cpu=2) == of_others
    assert (
        why_not(replace(STATE, blocks=STATE.blocks[:1]), 2, "movable", "any")
        == "free blocks that were not merged"
    )


def test_core_may_refuse_a_map_without_room_but_not_by_a_defect() -> None:
    little, much = MemoryMap("", (MapRegion(MIB, 64 << 10),)), MemoryMap("", (MapRegion(MIB, 62 * MIB),))
    assert may_refuse(little, "no memory for the slots")
    assert not may_refuse(much, "no memory for the slots")
    assert not may_refuse(little, "attempt to subtract with overflow")
    assert not may_refuse(little, "index out of bounds: the len is 3 but the index is 3")


def test_core_may_refuse_what_it_cannot_reach_and_what_cannot_be() -> None:
    memory = MemoryMap("", (MapRegion(MIB, 62 * MIB),), hhdm_end=2 * MIB)
    assert may_refuse(memory, "no memory for the slots")
    assert may_refuse(
        MemoryMap("", (MapRegion((1 << 64) - PAGE, 62 * MIB),)), "a region beyond the last address"
    )


def test_taking_reserved_memory_follows_from_having_it() -> None:
    assert follows_from(("CORE-02", "a reserved region"), [("CORE-03", "a reserved region")])
    assert not follows_from(("CORE-02", "a reserved region"), [("CORE-03", "a protected range")])
    assert not follows_from(("CORE-04", "a reserved region"), [("CORE-03", "a reserved region")])


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        (FreeBlock(Pfn(18), 1, 0, 0), False),
        (FreeBlock(Pfn(46), 1, 0, 0), False),
        (FreeBlock(Pfn(46), 2, 0, 0), True),
        (FreeBlock(Pfn(48), 0, 0, 0), True),
        (FreeBlock(Pfn(48), 0, 0, 1), False),
    ],
)
def test_a_block_on_the_list_of_other_memory_is_found(block: FreeBlock, shown: bool) -> None:
    memory = MemoryMap("", (MapRegion(0x10000, 0x40000),))
    state = replace(STATE, segments=(*STATE.segments, Segment(0, Pfn(48), Pfn(52))), blocks=(block,))
    found = [one.key for one in judge_state(state, memory, (), ())]
    assert (("CORE-07", "other memory") in found) is shown


@pytest.mark.parametrize(
    ("boot", "shown"),
    [
        ((), False),
        (((Paddr(0x10000), Paddr(0x12000)),), False),
        (((Paddr(0x10000), Paddr(0x13000)),), True),
        (((Paddr(0x2F000), Paddr(0x30000)),), True),
    ],
)
def test_free_memory_that_the_boot_allocator_still_gives_is_found(
    boot: tuple[Span, ...], shown: bool
) -> None:
    found = [one.key for one in judge_boot(replace(STATE, boot=boot))]
    assert found == ([("CORE-04", "boot allocator")] if shown else [])


def test_memory_that_stays_in_the_boot_allocator_is_lost_and_has_one_owner() -> None:
    kept = ((Paddr(0x20000), Paddr(0x30000)),)
    state = replace(STATE, blocks=STATE.blocks[:3], boot=kept)
    assert [one.clause for one in judge_population(state, MAP)] == ["CORE-05"]
    assert list(judge_boot(state)) == []
