"""Memory states come back from their files as they were, and take little room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frame_harness.archive.memory import (
    DamagedFile,
    Life,
    Payload,
    load,
    load_life,
    load_payload,
    runs_of,
    save,
    save_life,
)
from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import MapRange, MemoryState, no_pfns
from tests.support.synthetic import SMALL, healthy_state

PADDED = np.dtype({"names": ["next", "flags"], "formats": ["<u8", "<u4"], "offsets": [0, 24], "itemsize": 64})


@pytest.fixture(scope="module")
def state() -> MemoryState:
    return healthy_state(SMALL)


def test_a_state_comes_back_whole(state: MemoryState, tmp_path: Path) -> None:
    kept = replace(
        state,
        quarantined=np.array([7, 9]),
        poisoned_while_free=np.array([3]),
        constants=replace(C, refcount_unused=5),
        map=(MapRange(Pfn(0), Pfn(9), "ram"), MapRange(Pfn(9), Pfn(12), "reserved")),
    )
    save(tmp_path / "a.npz", kept)
    found = load(tmp_path / "a.npz")
    assert found.slots.dtype == kept.slots.dtype
    assert found.slots.tobytes() == kept.slots.tobytes()
    for one, other in zip(found.zones, kept.zones, strict=True):
        assert (one.heads == other.heads).all()
        assert vars(one) | {"heads": None} == vars(other) | {"heads": None}
    assert (found.cached == kept.cached).all()
    assert (found.ram == kept.ram).all()
    assert (found.off_limits == kept.off_limits).all()
    assert found.constants == kept.constants
    assert found.quarantined is not None and found.quarantined.tolist() == [7, 9]
    assert found.poisoned_while_free.tolist() == [3]
    assert found.map == kept.map


def test_a_state_without_zones_and_slots_comes_back(state: MemoryState, tmp_path: Path) -> None:
    empty = replace(state, slots=state.slots[:0], zones=(), poisoned_while_free=no_pfns(), quarantined=None)
    save(tmp_path / "a.npz", empty)
    found = load(tmp_path / "a.npz")
    assert (found.n_frames, found.zones, found.quarantined) == (0, (), None)


def test_bytes_between_the_fields_of_a_slot_stay_where_they_are(tmp_path: Path) -> None:
    slots = np.zeros(3, PADDED)
    slots["flags"] = 1, 2, 2
    save_life(tmp_path / "a.npz", Life(np.array([5, 6, 7]), slots[None], ()))
    found = load_life(tmp_path / "a.npz")
    assert (found.slots.dtype.itemsize, found.slots.dtype.fields["flags"][1]) == (64, 24)  # type: ignore[index]
    assert found.slots["flags"].tolist() == [[1, 2, 2]]


def test_the_bytes_of_frames_come_back(state: MemoryState, tmp_path: Path) -> None:
    pages = np.arange(2 * 4096, dtype=np.uint64).astype(np.uint8).reshape(2, 4096)
    save(tmp_path / "a.npz", state, Payload(np.array([4, 8]), pages))
    found = load_payload(tmp_path / "a.npz")
    assert found.pfns.tolist() == [4, 8]
    assert (found.pages == pages).all()


def test_a_life_comes_back_with_its_commands(state: MemoryState, tmp_path: Path) -> None:
    free = np.array([[4, 0], [3, 0], [3, 0]])
    life = Life(
        np.array([1, 2]), state.slots[:6].reshape(3, 2), ("alloc new", "slot.inc_ref 0x1000 → ok v=1"), free
    )
    save_life(tmp_path / "a.npz", life)
    found = load_life(tmp_path / "a.npz")
    assert found.commands == life.commands
    assert found.pfns.tolist() == [1, 2]
    assert found.slots.tobytes() == life.slots.tobytes()
    assert found.free_frames.tolist() == free.tolist()


def test_runs_make_the_table_again(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frame_harness.archive.memory._PIECE", 1000)  # runs go on across the borders
    runs = runs_of(state.slots)
    assert len(runs.firsts) < len(state.slots)
    assert runs.expanded().tobytes() == state.slots.tobytes()
    assert (runs.slots[1:] != runs.slots[:-1]).all()


def test_equal_slots_are_kept_once(state: MemoryState, tmp_path: Path) -> None:
    many = np.repeat(state.slots[:2], 1 << 19)
    save(tmp_path / "a.npz", replace(state, slots=many))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 16
    with np.load(tmp_path / "a.npz") as file:
        assert file["firsts"].tolist() == [0, 1 << 19]


@pytest.mark.parametrize("kept", [0, 100, -200, -1])
def test_a_file_that_was_cut_off_is_told_in_one_line(state: MemoryState, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.npz"
    save(path, state)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedFile, match=r"^archive: .*a\.npz: expected a memory state, got "):
        load(path)


def test_what_is_no_numpy_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(DamagedFile, match="expected a memory state"):
        load(tmp_path / "a.npz")
    with pytest.raises(DamagedFile, match="No such file"):
        load(tmp_path / "b.npz")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", zone_names=np.array([{}], dtype=object))
    with pytest.raises(DamagedFile, match="allow_pickle"):
        load(tmp_path / "a.npz")


def test_runs_out_of_order_are_refused(state: MemoryState, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", state)
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    arrays["firsts"] = arrays["firsts"][::-1]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(DamagedFile, match="follow each other"):
        load(tmp_path / "b.npz")
