"""Proves which parts of a new life another CPU may miss, by the ordering of the store that tells of it."""

from __future__ import annotations

import pytest

from frame_harness.frame_metadata.orderings.new_life import missing_part, stale_parts
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Path, Space

RLX, REL = MemoryOrder.MONOTONIC, MemoryOrder.RELEASE


def store(field: str, value: int, order: MemoryOrder = RLX) -> MemoryAccess:
    return MemoryAccess(AccessOp.STORE, Space.SLOT, field, order=order, written=value)


def life(order: MemoryOrder, *behind: MemoryAccess) -> Path:
    """Flags and generation of a new life, then the count that tells of it."""
    return Path((store("flags", 0x500), store("generation", 7), store("refcount", 1, order), *behind))


def test_a_count_that_is_released_shows_all_that_came_before() -> None:
    assert stale_parts(life(REL), "refcount") == []


def test_a_relaxed_count_shows_nothing_else() -> None:
    assert stale_parts(life(RLX), "refcount") == ["flags", "generation"]


def test_what_is_written_behind_the_release_may_be_missed() -> None:
    assert stale_parts(life(REL, store("guard", 0)), "refcount") == ["guard"]


def test_the_place_that_tells_is_no_part_to_miss() -> None:
    assert stale_parts(life(REL), "generation") == ["flags"]
    twice = Path((store("generation", 6, REL), store("generation", 7, REL)))
    assert stale_parts(twice, "generation", "new0") == []  # the value of the first write


@pytest.mark.parametrize(("place", "value"), [("vtable", None), ("refcount", 5)])
def test_nobody_can_see_what_is_never_written(place: str, value: int | None) -> None:
    assert stale_parts(life(REL), place, value) is None


def test_the_program_that_shows_a_missed_part_is_there_where_one_is_missed() -> None:
    assert missing_part(life(RLX), "refcount", None, "flags") is not None
    assert missing_part(life(RLX), "vtable", None, "flags") is None
