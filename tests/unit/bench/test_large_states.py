"""Tiled memory is healthy memory, whatever its size."""

from __future__ import annotations

import pytest

from frame_harness.bench.large_states import TILE_FRAMES, tiled_state
from frame_harness.frame_metadata.invariants import INVARIANTS
from tests.support.synthetic import SLOT


@pytest.mark.parametrize("n_tiles", [1, 2, 5])
def test_tiles_make_one_healthy_memory(n_tiles: int) -> None:
    state = tiled_state(n_tiles * TILE_FRAMES, SLOT)
    report = INVARIANTS.check_all(state)
    assert not report.violated, report.text
    assert report["W-LIST-REACHES-ONCE"].evaluated > 1000 * n_tiles


def test_a_torn_seam_between_tiles_is_noticed() -> None:
    state = tiled_state(2 * TILE_FRAMES, SLOT)
    seam = next(
        pfn
        for pfn in range(TILE_FRAMES)
        if TILE_FRAMES <= int(state.slots["next"][pfn]) >> 12 < 2 * TILE_FRAMES
    )
    state.slots["next"][seam] = 2**64 - 1
    assert "W-LIST-REACHES-ONCE" in INVARIANTS.check_all(state).violated
