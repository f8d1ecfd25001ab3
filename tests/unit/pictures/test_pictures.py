"""Proves that pictures of memory show what is wrong, and are well-formed whatever a guest says."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import FrameState, frame_states, runs_of
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.pictures import address_axis, byte_map, frame_map, free_lists, life, outcome, page_map
from frame_harness.pictures.life import DrawnLife
from frame_harness.pictures.moment import moment_of
from frame_harness.pictures.palette import CLASSES, LOOKS, look_of, style
from tests.support.synthetic import LARGEST, SLOT, SMALL, Shape, healthy_state

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text></svg><script>alert("1")</script>\x00\x1b[31m'


def read(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def words(markup: str) -> str:
    return " | ".join("".join(element.itertext()) for element in read(markup).iter(f"{SVG}text"))


def of_class(markup: str, kind: str) -> list[ElementTree.Element]:
    return [one for one in read(markup).iter() if kind in (one.get("class") or "").split()]


# ---- the map of memory ----------------------------------------------------------------------------------


def test_every_cell_of_a_small_memory_is_a_frame() -> None:
    runs = runs_of(np.array([FrameState.KERNEL] * 5 + [FrameState.FREE] * 3, dtype=np.uint8))
    assert frame_map.frames_per_cell(8) == 1
    assert frame_map.cell_states(runs, 1).tolist() == runs.expanded().tolist()


def test_a_cell_of_many_frames_shows_the_worst_of_them() -> None:
    states = np.full(1 << 20, FrameState.FREE + 11, dtype=np.uint8)
    states[777_777] = FrameState.CONFLICT
    runs = runs_of(states)
    per_cell = frame_map.frames_per_cell(len(states))
    cells = frame_map.cell_states(runs, per_cell)
    assert per_cell == 1024
    assert np.flatnonzero(cells == FrameState.CONFLICT).tolist() == [777_777 // per_cell]


@pytest.mark.parametrize("per_cell", [1, 2, 64])
def test_cells_agree_with_a_count_frame_by_frame(per_cell: int) -> None:
    states = frame_states(healthy_state(SMALL)).expanded()
    ranks = np.array([look_of(int(state)).rank for state in states]) * 256 + states
    best = ranks.reshape(-1, per_cell).max(axis=1) % 256
    assert frame_map.cell_states(runs_of(states), per_cell).tolist() == best.tolist()


def test_the_frames_of_a_finding_are_ringed_and_said() -> None:
    picture = frame_map.svg(frame_states(healthy_state(SMALL)), [5000, 5001, -1, 1 << 40], title="memory")
    assert [one[0].text for one in of_class(picture, "ring")] == [
        "frame 0x1388, 0x1389: live, no purpose named"
    ]
    assert "49,152 frames" in words(picture)


def test_each_frame_of_a_finding_has_its_own_state_where_a_cell_holds_several() -> None:
    states = np.full(1 << 14, FrameState.KERNEL, dtype=np.uint8)
    states[9], states[10:] = FrameState.POISONED, FrameState.USER
    picture = frame_map.svg(runs_of(states), [8, 9, 11, *range(12, 16)], title="memory")
    assert [one[0].text for one in of_class(picture, "ring")] == [
        "frame 0x8: live, kernel; frame 0x9: poisoned; frame 0xb, 0xc: live, user; 3 more"
    ]


def test_the_picture_of_a_million_frames_is_small() -> None:
    memory = healthy_state(Shape(1 << 20))
    assert len(frame_map.svg(frame_states(memory), [5], title="memory")) < 300_000


def test_states_are_told_apart_by_more_than_their_color() -> None:
    signs = [look.sign for look in LOOKS if look.state != FrameState.HOLE]
    assert len(set(signs)) == len(signs)
    assert "" not in signs
    assert all(f"--state-{look.state}:" in style(theme) for look in LOOKS for theme in ("light", "dark"))
    assert all(f".state-{look.state} " in CLASSES for look in LOOKS)


# ---- a moment -------------------------------------------------------------------------------------------


def test_a_moment_counts_the_blocks_on_each_list() -> None:
    memory = healthy_state(SMALL)
    moment = moment_of(memory)
    assert [int(zone.free_frames.sum()) for zone in moment.lists] == [zone.free for zone in memory.zones]
    assert not any(zone.faults for zone in moment.lists)


def test_a_list_that_leads_back_is_told() -> None:
    memory = healthy_state(SMALL).copied()
    zone = memory.zones[1]
    head = int(zone.heads[0][zone.heads[0] != C.link_none][0]) >> 12
    memory.slots["next"][head] = head << 12
    assert any("lead back" in fault for zone in moment_of(memory).lists for fault in zone.faults)


def test_a_link_to_nowhere_is_told() -> None:
    memory = healthy_state(SMALL).copied()
    memory.zones[0].heads[0, 0] = 0x1234_5678
    faults = [fault for zone in moment_of(memory).lists for fault in zone.faults]
    assert faults == ["unmovable order 0: a link leads to 0x12345678, which is no frame"]


def test_of_a_large_memory_only_slots_near_the_finding_are_kept() -> None:
    memory = healthy_state(Shape(1 << 17))
    moment = moment_of(memory, [70_000, 70_100, 5], near=100)
    assert [(one.first, len(one.slots)) for one in moment.windows] == [(0, 105), (69_900, 300)]
    assert moment.slot(Pfn(70_050)) == moment_of(memory, [70_050], near=1).slot(Pfn(70_050))
    assert moment.slot(Pfn(50_000)) is None


# ---- a slot, a page, a life -----------------------------------------------------------------------------


def test_bytes_that_differ_are_marked_and_the_others_are_not() -> None:
    rows = [("expected", {"flags": 0x2905}), ("got", {"flags": 0x0500})]
    picture = byte_map.svg(META_SLOT, rows, field="flags", title="slot")
    assert len(of_class(picture, "wrong-byte")) == 2
    assert "05 | 29" in words(picture)
    assert "≠ 0x500 ALLOCATED KERNEL" in words(picture)


def test_a_field_that_is_as_it_should_be_has_one_line() -> None:
    rows = [("expected", {"refcount": 1, "order": 0}), ("got", {"refcount": 1, "order": 3})]
    picture = byte_map.svg(META_SLOT, rows, field="order", title="slot")
    assert words(picture).count("expected") == 1
    assert len(of_class(picture, "wrong-byte")) == 1


def test_without_an_expectation_the_last_row_is_held_against_the_one_before() -> None:
    rows = [("before", {"guard": C.guard_poisoned}), ("after", {"guard": 0})]
    picture = byte_map.svg(META_SLOT, rows, field="guard", title="slot")
    assert len(of_class(picture, "wrong-byte")) == 1
    assert "POISONED" in words(picture)


@pytest.mark.parametrize(
    ("field", "value", "meaning"),
    [
        ("refcount", C.refcount_unused, "0xffffffff unused"),
        ("flags", 0x700 | 1 << 30, "0x40000700 ALLOCATED FREE KERNEL +0x40000000"),
        ("next", C.link_none, "0xffffffffffffffff end"),
        ("vtable", 0xFFC9, "0xffc9, 1 beyond a multiple of 8"),
        ("generation", 42, "42"),
    ],
)
def test_a_value_is_said_in_words(field: str, value: int, meaning: str) -> None:
    assert byte_map.meaning(field, value) == meaning


def test_reserved_bytes_show_when_they_are_used() -> None:
    rows = [("before", {"reserved_tail": 0, "order": 1}), ("after", {"reserved_tail": 7, "order": 1})]
    assert "reserved_tail"[:4] in words(byte_map.svg(META_SLOT, rows, title="slot"))
    rows = [(label, values | {"reserved_tail": 0}) for label, values in rows]
    assert "reserved" not in words(byte_map.svg(META_SLOT, rows, title="slot"))


def test_a_page_shows_where_its_wrong_bytes_are() -> None:
    wrong = np.zeros(4096, dtype=np.bool_)
    wrong[64:70] = True
    picture = page_map.svg(wrong, expected="0", got="6", title="page")
    assert [one[0].text for one in of_class(picture, "bad") if one.tag == f"{SVG}rect"] == [
        "bytes 0x40 to 0x45"
    ]
    assert "6 bytes of 4096 are wrong" in words(picture)
    wrong[65:] = False
    alone = page_map.svg(wrong, expected="0", got="1", title="page")
    assert [one[0].text for one in of_class(alone, "bad") if one.tag == f"{SVG}rect"] == ["byte 0x40"]
    assert "1 byte of 4096 is wrong" in words(alone)


def lived(**columns: list[int]) -> DrawnLife:
    steps = len(next(iter(columns.values())))
    slots = np.zeros((steps, 1), dtype=SLOT)
    for name, values in columns.items():
        slots[name][:, 0] = values
    return DrawnLife((Pfn(7),), slots, tuple(f"command {at}" for at in range(1, steps)))


def test_a_life_shows_owners_and_the_fields_that_change() -> None:
    told = lived(
        flags=[C.flag_free, C.flag_allocated, C.flag_allocated | C.flag_kernel],
        guard=[0, C.guard_poisoned, 0], refcount=[C.refcount_unused, 5, 1],
    )  # fmt: skip
    picture = life.svg(told, Pfn(7), field="guard", title="life")
    shown = words(picture)
    assert all(word in shown for word in ("free, order 0", "poisoned", "live, kernel", "POISONED"))
    assert "generation" not in shown
    assert len(of_class(picture, "wrong")) == 1


def test_a_long_life_shows_the_steps_at_which_it_changes() -> None:
    told = lived(generation=[0] * 50 + [1] * 50, flags=[C.flag_free] * 100)
    assert life.shown_steps(told.of(Pfn(7))) == [0, 50, 99]
    changing = lived(generation=list(range(100)))
    assert life.shown_steps(changing.of(Pfn(7))) == [0, *range(93, 100)]


# ---- lists, outcomes, addresses -------------------------------------------------------------------------


def test_free_lists_show_what_changed() -> None:
    memory = healthy_state(SMALL)
    before = moment_of(memory).lists
    blocks = before[1].blocks.copy()
    blocks[0, 3] += 1
    after = (before[0], replace(before[1], blocks=blocks), before[2])
    picture = free_lists.svg(before, after, title="lists")
    assert len(of_class(picture, "dashed")) == 1
    assert f"{blocks[0, 3] - 1}→{blocks[0, 3]}" in words(picture)


def test_free_lists_of_nothing_are_a_picture_too() -> None:
    assert "no free block" in words(free_lists.svg((), (), title="lists"))


def test_fragmentation_has_an_area_for_each_order_that_occurs() -> None:
    samples = [[0, 0, 64], [2, 6, 56], [8, 24, 32]]
    picture = free_lists.fragmentation(samples, title="fragmentation")
    assert len([one for one in read(picture).iter(f"{SVG}polygon")]) == 3


def test_a_panic_has_a_shape_of_its_own() -> None:
    steps = [("slot.inc_ref 0x0", "panic")]
    shape = {True: "ending-panic", False: "ending-wrong"}
    for panicked, kind in shape.items():
        picture = outcome.svg(steps, expected="ok", got="x", panicked=panicked, title="outcome")
        assert len(of_class(picture, kind)) == 1


def test_the_axis_ends_where_physical_addresses_do() -> None:
    last = address_axis.END - 4096
    assert address_axis.near_the_end(last - 4 * 4096, last)
    assert not address_axis.near_the_end(0, 4096)
    picture = address_axis.svg(last, last, panicked=True, title="axis")
    assert words(picture).count("in range") == 1
    assert words(picture).count("no address") == 2
    assert "panic" in words(picture)


def test_words_of_a_guest_stay_words() -> None:
    told = lived(generation=[0, 1])
    made = (
        life.svg(replace(told, commands=(HOSTILE,)), Pfn(7), title=HOSTILE),
        outcome.svg([(HOSTILE, HOSTILE)], expected=HOSTILE, got=HOSTILE, panicked=True, title=HOSTILE),
        page_map.svg(np.ones(4096, dtype=np.bool_), expected=HOSTILE, got=HOSTILE, title=HOSTILE),
        byte_map.svg(META_SLOT, [(HOSTILE, {"order": 1})], field=HOSTILE, title=HOSTILE),
    )
    for markup in made:
        assert "<script" not in markup
        assert "\x00" not in markup
        read(markup)


def test_the_largest_block_has_a_look() -> None:
    assert look_of(FrameState.FREE + C.max_order).sign == str(C.max_order)
    assert 1 << C.max_order == LARGEST
