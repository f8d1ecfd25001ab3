"""Proves by slots made by hand what each rule about slots and free frames accepts and rejects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.units import Paddr, Pfn
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.judging import Owned
from frame_harness.memory_core.slots import FEW_SLOTS, MOST_FILLED_PARTS, Claim, SlotWatch, SlotWords
from frame_harness.memory_core.state import CoreState, FreeBlock, Structure, ZoneCounters

PAGE = 0x1000
UNUSED = 0xFFFF_FFFF
FREE, ALLOCATED, KERNEL, USER, MOVABLE = 1 << 9, 1 << 8, 1 << 10, 1 << 11, 1 << 13
WORDS = SlotWords(unused=UNUSED, free=FREE, allocated=ALLOCATED, kernel=KERNEL, user=USER, movable=MOVABLE)
SLOT = np.dtype([("next", "<u8"), ("prev", "<u8"), ("vtable", "<u8"), ("flags", "<u4"), ("order", "u1"),
                 ("_reserved", "u1", (3,)), ("refcount", "<u4"), ("generation", "<u4"),
                 ("guard", "<u4")])  # fmt: skip
FRAMES = 64
# Frames 16 to 31 are one free block, 32 and 33 are in a cache, a caller holds 40 to 43, the core frame 8.
STATE = CoreState(
    segments=(),
    blocks=(FreeBlock(Pfn(16), 4, 0, 0),),
    faults=(),
    cached=((Pfn(32), 0, 0), (Pfn(33), 1, 0)),
    zones=(ZoneCounters(managed=22, allocated=6, cached=2),),
    structures=(Structure("slot table", (Paddr(0x8000), Paddr(0x9000))),),
    max_order=11,
)
HELD = (Owned(Pfn(40), 2, "unmovable"),)


@dataclass
class Memory:
    """Slots and RAM in which every clause holds, and what watches them."""

    slots: NDArray[Any]
    ram: GuestRam
    watch: SlotWatch
    claimed: list[Owned] = field(default_factory=list)

    def broken(self, state: CoreState = STATE, sick: tuple[Pfn, ...] = ()) -> list[tuple[str, str]]:
        return [one.key for one in self.watch.judge(state, [*HELD, *self.claimed], sick)]

    def claim(self, pfn: Pfn, purpose: str = "kernel", zeroed: bool = False) -> Claim:
        """Make frame `pfn` begin a new life as it should."""
        slot = self.slots[pfn : pfn + 1]
        slot["flags"], slot["refcount"], slot["order"] = WORDS.flags_of(purpose), 1, 0
        slot["generation"] += 1
        if zeroed:
            self.ram.view(Paddr(pfn * PAGE), PAGE)[:] = 0
        self.claimed.append(Owned(pfn, 0, "unmovable"))
        return Claim(pfn, purpose, zeroed)


@pytest.fixture
def memory() -> Memory:
    slots = np.zeros(FRAMES, SLOT)
    for first, count, order in ((16, 16, 4), (32, 2, 0)):
        slots["refcount"][first : first + count] = UNUSED
        slots["flags"][first : first + count] = FREE
        slots["order"][first : first + count] = order
    slots["flags"][40:44] = ALLOCATED
    ram = GuestRam(FRAMES * PAGE, None)
    ram.ranges = (RamRange(Paddr(0), Paddr(FRAMES * PAGE), 0),)
    watch = SlotWatch(WORDS, slots, ram)
    watch.fill(STATE)
    return Memory(slots, ram, watch)


def test_what_a_version_has_no_word_for_is_not_looked_at(memory: Memory) -> None:
    memory.broken()
    assert memory.watch.looked_at == {"CORE-32", "CORE-33", "CORE-35", "CORE-36"}
    names = [(name, "<u4") for name in SLOT.names or () if name != "generation"]
    older = SlotWatch(WORDS, np.zeros(FRAMES, names), memory.ram)
    nothing = replace(STATE, blocks=(), cached=())
    assert list(older.judge(nothing, ())) == [] and older.looked_at == set()


def test_sound_slots_break_nothing(memory: Memory) -> None:
    assert memory.broken() == []
    assert memory.broken() == []


@pytest.mark.parametrize("pfn", [16, 23, 31, 32, 33])
@pytest.mark.parametrize(
    ("field", "value"),
    [("refcount", 0), ("refcount", 1), ("flags", 0), ("flags", FREE | ALLOCATED), ("order", 3), ("vtable", 8),
     ("guard", 1 << 31)],
)  # fmt: skip
def test_each_word_of_each_free_slot_is_looked_at(memory: Memory, pfn: Pfn, field: str, value: int) -> None:
    memory.slots[field][pfn] = value
    assert memory.broken() == [("CORE-32", field)]


def freed(memory: Memory) -> CoreState:
    """What a caller held was filled by him and taken back by the core."""
    memory.watch.fill_owned(HELD)
    memory.watch.released(HELD[0])
    memory.slots["refcount"][40:44], memory.slots["flags"][40:44], memory.slots["order"][40:44] = (
        UNUSED,
        FREE,
        2,
    )
    return replace(STATE, blocks=(*STATE.blocks, FreeBlock(Pfn(40), 2, 0, 0)))


def test_word_that_a_free_writes_into_a_frame_is_found(memory: Memory) -> None:
    state = freed(memory)
    memory.ram.view(Paddr(42 * PAGE), 8)[:] = 0
    [found] = memory.watch.judge(state, ())
    assert (found.clause, found.paddr) == ("CORE-36", 42 * PAGE)


def test_word_that_the_core_writes_into_a_frame_of_a_caller_is_found(memory: Memory) -> None:
    memory.watch.fill_owned(HELD)
    assert memory.broken() == []
    memory.ram.view(Paddr(43 * PAGE + 8), 8)[:] = 0
    [found] = memory.watch.judge(STATE, HELD)
    assert (found.key, found.paddr) == (("CORE-14", "bytes"), 43 * PAGE + 8)


def test_core_that_wipes_what_it_takes_back_breaks_nothing_and_may_not_wipe_it_later(memory: Memory) -> None:
    state = freed(memory)
    memory.ram.view(Paddr(40 * PAGE), 2 * PAGE)[:] = 0x5A
    assert list(memory.watch.judge(state, ())) == []
    memory.ram.view(Paddr(42 * PAGE), PAGE)[:] = 0x5A
    [found] = memory.watch.judge(state, ())
    assert (found.clause, found.paddr) == ("CORE-36", 42 * PAGE)


def test_where_memory_is_ample_what_owners_filled_alone_is_watched(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frame_harness.memory_core.slots.MOST_FILLED_BYTES", 0)
    memory.watch = SlotWatch(WORDS, memory.slots, memory.ram)
    memory.watch.fill(STATE)
    memory.ram.view(Paddr(20 * PAGE), 8)[:] = 1
    memory.watch.fill_owned(HELD)
    assert memory.broken() == []
    memory.ram.view(Paddr(41 * PAGE + 8), 8)[:] = 1
    assert memory.broken() == [("CORE-14", "bytes")]


def test_where_memory_is_ample_more_blocks_than_are_filled_are_watched_when_all_are_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("frame_harness.memory_core.slots.MOST_FILLED_BYTES", 0)
    count = MOST_FILLED_PARTS + 64
    slots, ram = np.zeros(count, SLOT), GuestRam(count * PAGE, None)
    slots["refcount"], slots["flags"] = UNUSED, ALLOCATED
    ram.ranges = (RamRange(Paddr(0), Paddr(count * PAGE), 0),)
    watch = SlotWatch(WORDS, slots, ram)
    state = replace(STATE, blocks=(), cached=(), structures=())
    watch.fill(replace(state, blocks=(FreeBlock(Pfn(0), 0, 0, 0),)))
    held = [Owned(Pfn(pfn), 0, "unmovable") for pfn in range(count)]
    for at, block in enumerate(held):
        ram.view(Paddr(block.pfn * PAGE), PAGE)[:] = 7  # a core may write to what it gives
        watch.fill_owned([block])
        assert list(watch.judge(state, held[: at + 1])) == []
    ram.view(Paddr(held[-1].pfn * PAGE), 8)[:] = 0  # for which there was no room
    assert list(watch.judge(state, held)) == []
    watch.fill_owned(held)
    for block in held:
        watch.released(block)
    slots["flags"] = FREE
    state = replace(state, blocks=tuple(FreeBlock(block.pfn, 0, 0, 0) for block in held))
    assert list(watch.judge(state, ())) == []
    ram.view(Paddr((MOST_FILLED_PARTS - 1) * PAGE), 8)[:] = 0
    assert [one.clause for one in watch.judge(state, ())] == ["CORE-36"]


def test_frame_that_was_given_back_while_nothing_was_filled_may_not_be_wiped_later(memory: Memory) -> None:
    memory.watch.fill_owned(HELD)
    memory.watch.released(HELD[0])
    memory.watch.forget_bytes()
    assert memory.broken() == []
    memory.watch.fill_owned(HELD)
    assert memory.broken() == []
    memory.ram.view(Paddr(40 * PAGE), PAGE)[:] = 0
    assert memory.broken() == [("CORE-14", "bytes")]


def test_movable_free_slot_breaks_nothing(memory: Memory) -> None:
    memory.slots["flags"][16:32] |= MOVABLE
    assert memory.broken() == []


def test_poisoned_free_frame_may_say_so_alone(memory: Memory) -> None:
    memory.slots["guard"][20] = 1 << 31
    assert memory.broken(sick=(Pfn(20),)) == []
    memory.slots["guard"][21] = 1 << 31
    assert memory.broken(sick=(Pfn(20),)) == [("CORE-32", "guard")]


@pytest.mark.parametrize("pfn", [40, 43])
def test_frame_in_use_that_says_free_is_found(memory: Memory, pfn: Pfn) -> None:
    memory.slots["flags"][pfn] |= FREE
    assert memory.broken() == [("CORE-33", "free")]


@pytest.mark.parametrize("pfn", [41, 50])
@pytest.mark.parametrize("word", ["flags", "refcount", "order", "vtable", "guard"])
def test_slot_in_use_that_somebody_changed_is_found_once(memory: Memory, word: str, pfn: Pfn) -> None:
    assert list(memory.watch.judge_claim(memory.claim(Pfn(50)))) == []
    assert memory.broken() == []
    memory.slots[word][pfn] += 1
    assert memory.broken() == [("CORE-33", word)]
    assert memory.broken() == []


def test_slot_that_its_owner_changed_breaks_nothing(memory: Memory) -> None:
    assert list(memory.watch.judge_claim(memory.claim(Pfn(50)))) == []
    assert memory.broken() == []
    memory.slots["refcount"][50] += 1
    memory.watch.was_changed(Pfn(50))
    assert memory.broken() == []
    memory.slots["refcount"][42] += 1
    memory.watch.forget_lives()
    assert memory.broken() == []


def test_slot_that_was_given_back_may_change(memory: Memory) -> None:
    assert list(memory.watch.judge_claim(memory.claim(Pfn(50)))) == []
    assert memory.broken() == []
    memory.watch.released(memory.claimed.pop())
    memory.slots["refcount"][50] = UNUSED
    assert memory.broken() == []


@pytest.mark.parametrize("purpose", ["kernel", "user", "pagetable"])
def test_new_life_of_each_purpose_breaks_nothing(memory: Memory, purpose: str) -> None:
    assert list(memory.watch.judge_claim(memory.claim(Pfn(50), purpose, zeroed=True))) == []


@pytest.mark.parametrize(
    ("field", "change"),
    [("flags", lambda flags: flags | FREE), ("refcount", lambda _: 2), ("order", lambda _: 1),
     ("vtable", lambda _: 8), ("guard", lambda _: 1), ("generation", lambda old: old + 1),
     ("generation", lambda old: old - 1)],
)  # fmt: skip
def test_each_word_of_a_new_life_is_looked_at(
    memory: Memory, field: str, change: Callable[[int], int]
) -> None:
    claim = memory.claim(Pfn(50))
    memory.slots[field][50] = change(int(memory.slots[field][50]))
    assert [one.key for one in memory.watch.judge_claim(claim)] == [("CORE-34", field)]


def test_generation_wraps_from_the_last_to_zero(memory: Memory) -> None:
    memory.slots["generation"][50] = UNUSED
    memory.watch.forget_lives()
    assert list(memory.watch.judge_claim(memory.claim(Pfn(50)))) == []
    assert memory.slots["generation"][50] == 0


@pytest.mark.parametrize(("purpose", "zeroed"), [("kernel", True), ("user", True), ("pagetable", False)])
def test_a_byte_that_is_not_zeroed_is_found(memory: Memory, purpose: str, zeroed: bool) -> None:
    memory.ram.view(Paddr(50 * PAGE), PAGE)[:] = 0
    claim = memory.claim(Pfn(50), purpose, zeroed)
    memory.ram.view(Paddr(50 * PAGE), PAGE)[PAGE - 1] = 1
    assert [one.key for one in memory.watch.judge_claim(claim)] == [("CORE-34", "payload")]


def test_payload_that_nobody_asked_to_zero_stays(memory: Memory) -> None:
    assert list(memory.watch.judge_claim(memory.claim(Pfn(16)))) == []
    memory.ram.view(Paddr(17 * PAGE), PAGE)[9] ^= 1
    assert [one.key for one in memory.watch.judge_claim(memory.claim(Pfn(17)))] == [("CORE-34", "payload")]


def test_life_of_a_frame_that_nobody_claimed_is_found_once(memory: Memory) -> None:
    memory.slots["generation"][41] += 1
    assert memory.broken() == [("CORE-35", "")]
    assert memory.broken() == []


@pytest.mark.parametrize("at", [16 * PAGE, 20 * PAGE + 8, 32 * PAGE - 1, 33 * PAGE + 100])
def test_a_byte_of_a_free_frame_that_changes_is_found(memory: Memory, at: Paddr) -> None:
    memory.ram.view(at, 1)[0] ^= 0x80
    (found,) = memory.watch.judge(STATE, HELD)
    assert (found.clause, found.paddr) == ("CORE-36", at & ~7)


def test_a_frame_that_was_in_use_may_hold_anything(memory: Memory) -> None:
    taken = CoreState(
        segments=(), blocks=STATE.blocks, faults=(), cached=(), zones=STATE.zones,
        structures=STATE.structures, max_order=11,
    )  # fmt: skip
    assert memory.broken(taken) == []
    memory.ram.view(Paddr(32 * PAGE), PAGE)[:] = 7
    assert memory.broken() == []


def test_what_is_the_cores_own_is_never_filled(memory: Memory) -> None:
    state = CoreState(
        segments=(), blocks=(FreeBlock(Pfn(8), 0, 0, 0),), faults=(), cached=(), zones=STATE.zones,
        structures=STATE.structures, max_order=11,
    )  # fmt: skip
    before = memory.ram.view(Paddr(8 * PAGE), PAGE).copy()
    SlotWatch(WORDS, memory.slots, memory.ram).fill(state)
    assert (memory.ram.view(Paddr(8 * PAGE), PAGE) == before).all()


def test_slots_of_an_older_version_are_judged_by_the_words_that_they_have() -> None:
    older = np.dtype(
        [("next", "<u8"), ("prev", "<u8"), ("flags", "<u4"), ("order", "u1"), ("refcount", "<u4")]
    )
    slots = np.zeros(FRAMES, older)
    slots["refcount"][16:18], slots["flags"][16:18], slots["order"][16:18] = UNUSED, FREE, 1
    ram = GuestRam(FRAMES * PAGE, None)
    ram.ranges = (RamRange(Paddr(0), Paddr(FRAMES * PAGE), 0),)
    watch = SlotWatch(WORDS, slots, ram)
    state = CoreState(
        segments=(),
        blocks=(FreeBlock(Pfn(16), 1, 0, 0),),
        faults=(),
        cached=(),
        zones=(),
        structures=(),
        max_order=11,
    )
    assert list(watch.judge(state, ())) == []
    slots["refcount"][17] = 0
    assert [one.key for one in watch.judge(state, ())] == [("CORE-32", "refcount")]


def test_large_table_is_judged_at_the_start_and_where_blocks_are_new() -> None:
    slots = np.zeros(FEW_SLOTS + 1, SLOT)
    slots["refcount"][16:32], slots["flags"][16:32], slots["order"][16:32] = UNUSED, FREE, 3
    watch = SlotWatch(WORDS, slots, GuestRam(PAGE, None))

    def state(*blocks: FreeBlock) -> CoreState:
        return CoreState(
            segments=(), blocks=blocks, faults=(), cached=(), zones=(), structures=(), max_order=11
        )

    first = FreeBlock(Pfn(16), 3, 0, 0)
    assert list(watch.judge(state(first), ())) == []
    slots["refcount"][25] = 0
    assert list(watch.judge(state(first), ())) == []
    assert [one.key for one in watch.judge(state(first, FreeBlock(Pfn(24), 3, 0, 0)), ())] == [
        ("CORE-32", "refcount")
    ]
