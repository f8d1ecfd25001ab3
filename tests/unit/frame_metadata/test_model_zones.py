"""The lists of a zone hold what was given to them, in the largest blocks, and split it as asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import PAGEBLOCK_SHIFT, Migratetype
from frame_harness.frame_metadata.model.outcome import Panicked, PanicKind
from frame_harness.frame_metadata.model.slots import SlotTable
from frame_harness.frame_metadata.model.zones import NONE, ModelBlock, ZoneModel, block_at, block_containing

N_FRAMES = 64
MOVABLE, UNMOVABLE = Migratetype.MOVABLE, Migratetype.UNMOVABLE


def zone(name: str = "normal", first: int = 0) -> ZoneModel:
    """A zone of a few frames, of which none is free."""
    end = first + N_FRAMES
    return ZoneModel(name, Pfn(first), Pfn(end), SlotTable(end))


def block(pfn: int, order: int) -> ModelBlock:
    return ModelBlock(Pfn(pfn), order)


def give(found: ZoneModel, one: ModelBlock) -> None:
    """Put a block on the lists as a free does."""
    found.stamp_free(one)
    found.insert(one)


def frames_of(found: ZoneModel) -> set[int]:
    frames = found.listed_frames()
    assert frames is not None
    assert len(frames) == len(set(frames)) == found.free
    return set(frames)


@given(st.integers(0, 2**20), st.integers(0, C.max_order - 1))
def test_a_block_and_its_buddy_are_the_two_halves_of_their_parent(pfn: int, order: int) -> None:
    one = block_containing(Pfn(pfn), order)
    assert pfn in one.frames and one.pfn % (1 << order) == 0
    assert {*one.frames, *one.buddy.frames} == set(one.parent.frames)
    assert one.buddy.buddy == one and one.buddy.parent == one.parent
    assert block_at(one.paddr, order) == one


@pytest.mark.parametrize(
    ("paddr", "order", "found"),
    [
        (0, C.max_order, block(0, C.max_order)),
        (0, C.max_order + 1, None),
        (2 * PAGE_SIZE, 1, block(2, 1)),
        (PAGE_SIZE, 1, None),
        (1, 0, None),
    ],
)
def test_a_block_begins_at_a_multiple_of_its_size(paddr: int, order: int, found: ModelBlock | None) -> None:
    assert block_at(Paddr(paddr), order) == found


@pytest.mark.parametrize(
    ("name", "number", "home"),
    [("normal", 0, UNMOVABLE), ("normal", 1, MOVABLE), ("normal", 2, UNMOVABLE), ("DMA", 1, UNMOVABLE)],
)
def test_every_second_block_of_pages_is_movable_but_in_the_zone_for_devices(
    name: str, number: int, home: Migratetype
) -> None:
    first, last = number << PAGEBLOCK_SHIFT, (number + 1 << PAGEBLOCK_SHIFT) - 1
    assert [zone(name).home(Pfn(pfn)) for pfn in (first, last)] == [home, home]


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(N_FRAMES)), st.integers(0, N_FRAMES))
def test_single_frames_come_together_to_the_largest_blocks_in_any_order(order: list[int], count: int) -> None:
    found, free = zone(), set(order[:count])
    for pfn in order[:count]:
        give(found, block(pfn, 0))
    assert frames_of(found) == free
    for pfn in free:
        listed = found.block_covering(Pfn(pfn))
        assert listed is not None and set(listed.frames) <= free
        assert not set(listed.buddy.frames) <= free, "both halves are free: they would be one block"
        assert {found.slots[each].order for each in listed.pfns} == {listed.order}
    assert all(found.block_covering(Pfn(pfn)) is None for pfn in set(order) - free)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(list(Migratetype))), max_size=20))
def test_blocks_that_are_taken_are_free_ones_of_that_order_and_come_back(
    requests: list[tuple[int, Migratetype]],
) -> None:
    found, held = zone(), list[ModelBlock]()
    give(found, block(0, 6))
    for order, kind in requests:
        free = frames_of(found)
        taken = found.take(order, kind)
        if taken is None:
            assert not any((one := found.block_covering(Pfn(pfn))) and one.order >= order for pfn in free)
            continue
        assert taken.order == order and set(taken.frames) <= free
        assert frames_of(found) == free - set(taken.frames)
        held.append(taken)
    for one in held:
        give(found, one)
    assert found.block_covering(Pfn(5)) == block(0, 6)


def test_the_smallest_block_that_suffices_is_split() -> None:
    found = zone()
    for one in (block(0, 4), block(32, 2), block(48, 3)):
        give(found, one)
    taken = found.take(1, UNMOVABLE)
    assert taken == block(32, 1)
    assert found.block_covering(Pfn(34)) == block(34, 1)


def test_one_frame_is_taken_out_of_the_middle_and_its_own_order_stays() -> None:
    found = zone()
    give(found, block(0, 3))
    assert found.take_frame(Pfn(5)) == block(5, 0)
    assert found.slots[Pfn(5)].order == 3
    left = {pfn: covering for pfn in (0, 4, 6) if (covering := found.block_covering(Pfn(pfn)))}
    assert left == {0: block(0, 2), 4: block(4, 0), 6: block(6, 1)}
    assert found.take_frame(Pfn(5)) is None


def test_a_block_is_taken_inside_of_a_larger_one_alone() -> None:
    found = zone()
    give(found, block(0, 3))
    assert not found.take_inside(block(0, 4))
    assert not found.take_inside(block(8, 0))
    assert found.take_inside(block(4, 2))
    assert frames_of(found) == {0, 1, 2, 3}


def spoil_link(found: ZoneModel) -> None:
    found.slots.write_links(Pfn(0), Paddr(5 * PAGE_SIZE), None)


def spoil_answer(found: ZoneModel) -> None:
    found.slots.write_links(Pfn(8), None, NONE)


@pytest.mark.parametrize("spoil", [spoil_link, spoil_answer], ids=["no block", "no link back"])
def test_links_that_disagree_are_followed_by_nobody(spoil: Callable[[ZoneModel], None]) -> None:
    found = zone()
    for pfn in (8, 0):  # no buddies, so two blocks on one list
        give(found, block(pfn, 2))
    spoil(found)
    assert found.listed_frames() is None
    with pytest.raises(Panicked) as raised:
        found.unlink(block(0, 2))
    assert raised.value.panic.kind is PanicKind.CORRUPT_LIST
    assert found.free == 8, "nothing was taken off"


def test_a_block_that_is_free_is_not_freed_again() -> None:
    found = zone()
    give(found, block(0, 3))
    with pytest.raises(Panicked) as raised:
        found.coalesced(block(4, 0))
    assert raised.value.panic.kind is PanicKind.FREED_TWICE


def test_returned_frames_are_counted_down_to_none() -> None:
    found = zone()
    found.allocated = 3
    found.note_returned(2)
    found.note_returned(2)
    assert found.allocated == 0
