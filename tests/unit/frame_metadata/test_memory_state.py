"""What the host knows about a guest's memory, in the shapes that invariants read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from frame_harness.frame_metadata.memory_state import (
    MAX_FRAMES,
    MemoryStateError,
    cached_frames,
    digest_frames,
    mask_of_ranges,
    movable_mask,
    pfn_ranges,
)
from tests.support.synthetic import SLOT, SMALL, healthy_state


def test_ranges_are_half_open_and_cut_at_the_table() -> None:
    ranges = pfn_ranges([(-5, 1), (3, 5), (6, 2), (7, 99)])
    assert np.flatnonzero(mask_of_ranges(ranges, 8)).tolist() == [0, 3, 4, 7]


def test_no_ranges_cover_nothing() -> None:
    assert not mask_of_ranges(pfn_ranges([]), 8).any()


def test_odd_8_mib_blocks_are_movable_outside_dma() -> None:
    state = healthy_state(SMALL)
    movable = movable_mask(state.zones, 5 * 2048 + 1)
    assert [bool(movable[block * 2048]) for block in range(6)] == [False, False, False, True, False, True]


def test_cache_entries_keep_their_order() -> None:
    cached = cached_frames([(9, 1, 3), (4, 0, 0)])
    assert cached["pfn"].tolist() == [9, 4]
    assert cached["cpu"].tolist() == [3, 0]


def test_copied_state_does_not_follow_the_guest() -> None:
    state = healthy_state(SMALL)
    copy = state.copied()
    state.slots["refcount"][5] ^= 1
    assert copy.slots["refcount"][5] != state.slots["refcount"][5]


def test_table_larger_than_a_32_bit_pfn_is_refused() -> None:
    state = healthy_state(SMALL)
    # No memory behind it: every row is the same one.
    huge = np.lib.stride_tricks.as_strided(state.slots, shape=(MAX_FRAMES + 1,), strides=(0,))
    with pytest.raises(MemoryStateError, match="frames"):
        replace(state, slots=huge)


def test_slot_table_must_be_one_row_per_frame() -> None:
    state = healthy_state(SMALL)
    with pytest.raises(MemoryStateError, match="one row per frame"):
        replace(state, slots=np.zeros((2, 2), dtype=SLOT))


@pytest.mark.parametrize("word", range(0, 512, 7))
def test_digest_notices_a_single_bit(word: int) -> None:
    page = np.zeros((1, 4096), dtype=np.uint8)
    changed = page.copy()
    changed[0, 8 * word + word % 8] = 1 << (word % 7)
    assert digest_frames(page) != digest_frames(changed)


def test_digest_notices_that_two_words_changed_places() -> None:
    page = np.zeros((1, 4096), dtype=np.uint8)
    page[0, 0] = 1
    assert digest_frames(page) != digest_frames(np.roll(page, 8, axis=1))
