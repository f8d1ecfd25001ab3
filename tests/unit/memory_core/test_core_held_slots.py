"""Proves that slots of frames which somebody has are held against what they said before, and no others."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.memory_core.held_slots import HeldSlots

SLOT = np.dtype([("next", "<u8"), ("order", "u1"), ("refcount", "<u4")])


def pfns(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_the_first_word_that_changed_is_told_once() -> None:
    slots, held = np.zeros(8, SLOT), HeldSlots(("order", "refcount"))
    assert held.first_change(slots, pfns(2, 3)) is None
    slots["refcount"][3] = 7
    assert held.first_change(slots, pfns(3, 2)) == (3, "refcount", 0, 7)
    assert held.first_change(slots, pfns(2, 3)) is None


def test_links_and_frames_that_came_or_went_are_not_looked_at() -> None:
    slots, held = np.zeros(8, SLOT), HeldSlots(("order", "refcount"))
    assert held.first_change(slots, pfns(2, 3)) is None
    slots["next"], slots["order"][3], slots["order"][4] = 5, 1, 1
    assert held.first_change(slots, pfns(2, 4)) is None


def test_a_frame_with_two_owners_is_looked_at_once() -> None:
    slots, held = np.zeros(8, SLOT), HeldSlots(("order",))
    assert held.first_change(slots, pfns(2, 2, 3)) is None
    slots["order"][2] = 1
    assert held.first_change(slots, pfns(2, 3, 2)) == (2, "order", 0, 1)


def test_what_its_owner_changed_is_not_told() -> None:
    slots, held = np.zeros(8, SLOT), HeldSlots(("order",))
    held.was_changed(Pfn(2))
    for one_alone in (True, False):
        assert held.first_change(slots, pfns(2, 3)) is None
        slots["order"][2] += 1
        if one_alone:
            held.was_changed(Pfn(2))
        else:
            slots["order"][3] += 1
            held.forget()
        assert held.first_change(slots, pfns(2, 3)) is None
