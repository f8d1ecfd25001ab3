"""Proves that a clause counts as looked at only where something was seen that could break it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Pfn
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.guest.reply import Reply
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.design import TREE
from frame_harness.memory_core.judging import Accepted, CoreViolation, Owned
from frame_harness.memory_core.maps import MapRegion, MemoryMap, length
from frame_harness.memory_core.operations import OPERATIONS
from frame_harness.memory_core.owning_steps import CopyOnWrite, Own
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.state import CoreState, FreeBlock, Segment, ZoneCounters
from frame_harness.memory_core.steps import (
    Alloc,
    CaseStep,
    CaseStorm,
    FrameAlloc,
    Free,
    PageTables,
    WrongFree,
)
from frame_harness.memory_core.storms import AMPLE_BYTES

PAGE = 0x1000
MAP = MemoryMap("", (MapRegion(0x100000, 0x100000),))
STATE = CoreState(
    segments=(Segment(0, Pfn(256), Pfn(512)),),
    blocks=(FreeBlock(Pfn(256), 8, 0, 0),),
    faults=(),
    cached=(),
    zones=(ZoneCounters(managed=256, allocated=0, cached=0),),
    structures=(),
    max_order=11,
    quarantined=0,
)
Answer = tuple[Any, str, dict[str, int]]
TOTALS: list[Answer] = [("ok", "", {"managed": 256, "allocated": 0})]
NO_MEMORY: Answer = ("fail", "OutOfMemory", {})


class Watch:
    """Finds nothing wrong with slots, or with a new life."""

    looked_at: frozenset[str] = frozenset()

    def fill_owned(self, blocks: object) -> None:
        pass

    def judge(self, *_: object) -> Iterator[CoreViolation]:
        return iter(())

    def judge_claim(self, _: object) -> Iterator[CoreViolation]:
        return iter(())

    def forget_lives(self) -> None:
        pass

    forget_bytes = forget_lives


class Core:
    """Answers each command as a test says, the last answer again and again."""

    design = TREE

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        ram = GuestRam(2 << 20, None)
        ram.ranges = (RamRange(Paddr(0), Paddr(2 << 20), 0),)
        image = SimpleNamespace(subject=SimpleNamespace(path="/kernel/src/memory"))
        self.guest = SimpleNamespace(ram=ram, image=image)
        self.looked_at: set[str] = set()
        self.asked: list[str] = []
        self._answers = {command: list(some) for command, some in answers.items()}

    def request(self, line: str, _: float | None = None) -> Reply:
        self.asked.append(line)
        answers = self._answers[line.split(maxsplit=1)[0]]
        status, code, fields = answers.pop(0) if len(answers) > 1 else answers[0]
        words = Fields({name: str(value) for name, value in fields.items()})
        return Reply(line, ReplyLine(1, status, code=code, text=code, file="buddy.rs", line=7, fields=words))

    def state(self, _: object = None) -> CoreState:
        return STATE

    def locked(self) -> tuple[str, ...]:
        return self.state().locked

    def slots(self) -> Any:
        return np.zeros(512, [("flags", "<u4")])


@pytest.mark.parametrize(
    ("step", "clause"),
    [
        (None, "CORE-01"), (Alloc("a", 0, "unmovable"), "CORE-09"), (Free("a"), "CORE-15"),
        (WrongFree("again", "a"), "CORE-17"), (Own("claim", "a", 1), "CORE-27"),
    ],
)  # fmt: skip
def test_a_lock_that_a_call_leaves_locked_is_its_own(step: CaseStep | None, clause: str) -> None:
    core: Any = Core({})
    core.state, core.last_request = (
        lambda _: replace(STATE, locked=("BUDDY_ALLOCATOR",)),
        "core.free 0x1000 0",
    )
    playing = Playing(core, MAP, frozenset(), step=step)
    assert next(playing.judged()).key == (clause, "a lock")


def test_a_refusal_that_leaves_a_lock_locked_is_asked_nothing_further() -> None:
    locked = replace(STATE, locked=("BUDDY_ALLOCATOR",))
    core: Any = Core({"core.alloc": [NO_MEMORY, PANIC], "core.totals": [PANIC]})
    core.state, core.last_request = (lambda _=None: locked), "core.alloc 0 unmovable any"
    _, found = played_on(core, Alloc("a", 0, "unmovable"), replace(STATE, blocks=(), cached=()))
    assert core.asked == ["core.alloc 0 unmovable any"]
    assert ("CORE-09", "a lock") in {one.key for one in found}
    assert not {"CORE-11", "CORE-20"} & {one.clause for one in found}


class FilledCore(Core):
    """Gives two blocks of order 1 when it is asked to be filled with these for the first time."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        super().__init__(answers)
        self._blocks: tuple[str, ...] = ("0x101000", "0x104000")

    def offers(self, _: str) -> bool:
        return True

    def request(self, line: str, cpu_s: float | None = None) -> Reply:
        reply = super().request(line, cpu_s)
        if not line.startswith("core.fill 1 "):
            return reply
        blocks, self._blocks = self._blocks, ()
        return replace(reply, data=blocks)


def played(
    step: CaseStep,
    answers: Mapping[str, Sequence[Answer]],
    state: CoreState = STATE,
    accepted: Accepted | None = None,
) -> tuple[set[str], list[CoreViolation]]:
    return played_on(Core({"core.totals": TOTALS, **answers}), step, state, accepted)


def played_on(
    core: Any, step: CaseStep, state: CoreState = STATE, accepted: Accepted | None = None, cpu: int = 0
) -> tuple[set[str], list[CoreViolation]]:
    play = Playing(core, MAP, frozenset(), accepted=accepted or Accepted(), cpu=cpu, step=step)
    watch: Any = Watch()
    play.watch, play.state, play.first = watch, state, state
    found = list(OPERATIONS[type(step)](step, play, state))
    return core.looked_at, found


FRAMES: list[Answer] = [("ok", "", {"paddr": 0x120000 + PAGE * number}) for number in range(6)]


@pytest.mark.parametrize(
    ("clause", "step", "answers"),
    [
        ("CORE-34", FrameAlloc("a", "user", False), {"frame.alloc": [NO_MEMORY]}),
        ("CORE-22", PageTables("plain", 1), {"core.alloc": FRAMES, "tables.new": [NO_MEMORY],
                                             "core.free": [("ok", "", {})]}),
        ("CORE-39", CopyOnWrite(2, "caps", 1), {"core.alloc": [NO_MEMORY]}),
        ("CORE-39", CopyOnWrite(2, "caps", 1), {"core.alloc": FRAMES, "own.ensure": [("ok", "", {})],
                                                "space.new": [NO_MEMORY]}),
    ],
    ids=["a frame", "page tables", "no frame to share", "no tables to share it"],
)  # fmt: skip
def test_a_step_that_gets_no_memory_looks_at_nothing_of_its_own(
    clause: str, step: CaseStep, answers: Mapping[str, Sequence[Answer]]
) -> None:
    looked_at, _ = played(step, answers)
    assert clause not in looked_at


def test_a_frame_that_is_given_is_looked_at() -> None:
    looked_at, _ = played(FrameAlloc("a", "user", False), {"frame.alloc": FRAMES})
    assert {"CORE-34", "CORE-09", "CORE-12"} <= looked_at


def test_tables_of_which_a_page_was_looked_up_are_looked_at() -> None:
    answers: Mapping[str, Sequence[Answer]] = {
        "core.alloc": FRAMES,
        "core.free": [("ok", "", {})],
        "tables.new": [("ok", "", {"root": 0x30000}), NO_MEMORY],
        "tables.map": [NO_MEMORY],
        "tables.probe": [("ok", "", {"fault": 1})],
        "tables.free": [("ok", "", {})],
    }
    looked_at, found = played(PageTables("plain", 1), answers)
    assert "CORE-22" in looked_at and found == []


PANIC: Answer = ("panic", "index out of bounds", {})


@pytest.mark.parametrize("before", range(5))
def test_a_panic_of_an_allocation_ahead_of_page_tables_is_its_finding(before: int) -> None:
    _, [found] = played(PageTables("plain", 1), {"core.alloc": [*FRAMES[:before], PANIC]})
    assert (found.clause, found.cause) == ("CORE-09", "buddy.rs:7")
    assert found.got == "a panic: index out of bounds"


def test_a_panic_of_a_free_behind_page_tables_is_its_finding() -> None:
    answers: Mapping[str, Sequence[Answer]] = {
        "core.alloc": FRAMES,
        "tables.new": [NO_MEMORY],
        "core.free": [("ok", "", {}), PANIC],
    }
    _, [found] = played(PageTables("plain", 1), answers)
    assert (found.clause, found.got) == ("CORE-15", "a panic: index out of bounds")


def test_frames_that_are_too_few_for_page_tables_are_given_back() -> None:
    answers: Mapping[str, Sequence[Answer]] = {
        "core.alloc": [*FRAMES[:3], NO_MEMORY],
        "core.free": [("ok", "", {})],
    }
    looked_at, found = played(PageTables("plain", 1), answers)
    assert (found, "CORE-15" in looked_at) == ([], True)


@pytest.mark.parametrize(("cpus", "clause"), [(1, "CORE-14"), (3, "CORE-21")])
def test_a_storm_looks_at_frames_that_were_given(cpus: int, clause: str) -> None:
    for allocated in (0, 9):
        answer: Answer = ("ok", "", {"violations": 0, "allocated": allocated})
        looked_at, _ = played(CaseStorm(cpus, 10, 1), {"core.storm": [answer]})
        assert (clause in looked_at) == bool(allocated)


@pytest.mark.parametrize(
    ("block", "blamed"), [(FreeBlock(Pfn(256), 1, 0, 0), True), (FreeBlock(Pfn(257), 1, 0, 0), False)]
)
def test_a_panic_of_a_storm_is_blamed_on_cpus_only_where_no_block_is_misplaced(
    block: FreeBlock, blamed: bool
) -> None:
    for cpus, clause in ((1, "CORE-09"), (3, "CORE-21")):
        _, found = played(CaseStorm(cpus, 10, 1), {"core.storm": [PANIC]}, replace(STATE, blocks=(block,)))
        assert [one.clause for one in found] == [clause] * blamed


@pytest.mark.parametrize(("seed", "freed"), [(1, []), (2, ["core.free 0x104000 1"])])
def test_blocks_at_a_wrong_place_are_held_during_a_storm_with_every_second_seed(
    seed: int, freed: list[str]
) -> None:
    wrong = replace(STATE, blocks=(FreeBlock(Pfn(257), 1, 0, 0), FreeBlock(Pfn(260), 1, 0, 0)))
    core = FilledCore({"core.fill": [NO_MEMORY], "core.free": [("ok", "", {})], "core.storm": [PANIC]})
    _, found = played_on(core, CaseStorm(3, 10, seed), wrong)
    assert [line for line in core.asked if "free" in line] == freed and [one.clause for one in found] == [
        "CORE-21"
    ] * len(freed)


def test_frames_that_no_list_has_any_more_are_lost_unless_somebody_has_them_or_nobody_had() -> None:
    core: Any = Core({})
    play = Playing(core, MAP, frozenset({("CORE-18", "allocated frames")}), first=STATE)
    [lost] = play.lost(replace(STATE, blocks=(FreeBlock(Pfn(256), 7, 0, 0),)))
    assert (lost.clause, lost.got, lost.paddr) == ("CORE-16", "128 are not", 0x180000)
    play.owned["b1"] = [Owned(Pfn(384), 7, "movable")]
    assert not [*play.lost(replace(STATE, blocks=(FreeBlock(Pfn(256), 7, 0, 0),)))]
    play.first = replace(STATE, blocks=())
    assert not [*play.lost(replace(STATE, blocks=()))]


def test_a_storm_ends_what_is_asked_as_another_cpu() -> None:
    asked: dict[str, Sequence[Answer]] = {
        "core.cpu": [("ok", "", {})],
        "core.storm": [("ok", "", {"violations": 0, "allocated": 1})],
    }
    core = Core({"core.totals": TOTALS, **asked})
    assert played_on(core, CaseStorm(3, 10, 1), cpu=1)[1] == []
    assert [line for line in core.asked if "cpu" in line] == ["core.cpu 0"]


def test_no_storm_takes_all_memory_where_some_is_still_the_core_s_own() -> None:
    assert length(MAP.usable) < AMPLE_BYTES
    free = Accepted(given_up=((Paddr(0x110000), Paddr(0x111000)),))
    assert played(CaseStorm(3, 10, 1), {"core.storm": [PANIC]}, accepted=free) == (set(), [])
