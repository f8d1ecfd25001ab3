"""Proves guest memory as the host sees it."""

from __future__ import annotations

import errno
import gc
import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest

from frame_harness.base.errors import HostRamError, RamError, UsageError
from frame_harness.base.units import GIB, MIB, Paddr
from frame_harness.machine import ram as ram_module
from frame_harness.machine.flatview import RamRange
from frame_harness.machine.ram import (
    FILL_ALL_LIMIT,
    GARBAGE_PERIOD,
    GuestRam,
    RamCopy,
    filled_parts,
    garbage_at,
    garbage_block,
)

SIZE = Paddr(8 * MIB)


def flat(size: int, seed: int | None = 1) -> GuestRam:
    ram = GuestRam(size, seed)
    ram.ranges = (RamRange(Paddr(0), Paddr(size), 0),)
    return ram


@pytest.fixture
def ram() -> Iterator[GuestRam]:
    yield flat(SIZE)


def test_all_of_small_ram_is_garbage(ram: GuestRam) -> None:
    assert ram.view(Paddr(0), SIZE).tobytes() == garbage_at(1, 0, SIZE)


def test_garbage_depends_on_the_seed_alone() -> None:
    assert garbage_block(1) == garbage_block(1) != garbage_block(2)
    assert flat(SIZE, 2).view(Paddr(0), 64).tobytes() == garbage_at(2, 0, 64)


def test_garbage_never_repeats_at_a_distance_that_an_alignment_has() -> None:
    frames = {garbage_at(1, paddr, 4096) for paddr in range(0, SIZE, 4096)}
    assert len(frames) == SIZE // 4096 and GARBAGE_PERIOD % 2


def test_garbage_is_neither_zero_nor_constant_in_any_frame(ram: GuestRam) -> None:
    frames = ram.view(Paddr(0), SIZE).reshape(-1, 4096)
    assert (frames.max(axis=1) > frames.min(axis=1)).all()


def test_original_garbage_can_be_told_after_the_guest_changed_it(ram: GuestRam) -> None:
    before = ram.view(Paddr(4096), 4096).copy()
    ram.view(Paddr(4096), 4096)[:] = 0
    assert (ram.garbage(Paddr(4096), 4096) == before).all()
    assert (
        ram.garbage(Paddr(GARBAGE_PERIOD - 3), 10)
        == np.frombuffer(garbage_at(1, GARBAGE_PERIOD - 3, 10), "u1")
    ).all()


def test_without_a_seed_ram_is_zero_even_when_the_file_was_used_before() -> None:
    del_me = flat(SIZE)
    del del_me
    ram = flat(SIZE, None)
    assert not ram.view(Paddr(0), SIZE).any() and not ram.garbage(Paddr(0), 100).any()


@pytest.mark.parametrize("size", [FILL_ALL_LIMIT + MIB, GIB + MIB, 5 * GIB, 64 * GIB + 4096])
def test_of_large_ram_the_documented_parts_are_filled(size: int) -> None:
    parts = filled_parts(size)
    assert parts[0] == (0, 64 * MIB) and parts[-1][1] == size
    assert all(end <= first for (_, end), (first, _) in itertools.pairwise(parts))
    for border in range(GIB, size, GIB):
        assert any(first <= border - MIB and min(border + MIB, size) <= end for first, end in parts)
    assert sum(end - first for first, end in parts) <= 64 * MIB + 2 * MIB * (size // GIB) + MIB


def test_large_ram_is_sparse_with_garbage_on_both_sides_of_the_hole() -> None:
    size = 3 * GIB
    ram = GuestRam(size, 1)
    ram.ranges = (RamRange(Paddr(0), Paddr(2 * GIB), 0), RamRange(Paddr(4 * GIB), Paddr(5 * GIB), 2 * GIB))
    for paddr in (Paddr(2 * GIB - 4096), Paddr(4 * GIB), Paddr(5 * GIB - 4096)):
        assert (ram.view(paddr, 4096) == ram.garbage(paddr, 4096)).all()
        assert ram.garbage(paddr, 4096).any()
    assert not ram.view(Paddr(100 * MIB), 4096).any() and not ram.garbage(Paddr(100 * MIB), 4096).any()


@pytest.mark.parametrize(
    ("paddr", "length"), [(SIZE, 1), (SIZE - 1, 2), (-1, 1), (1 << 40, 4096), (0, SIZE + 1), (SIZE, 0)]
)
def test_what_is_not_ram_cannot_be_viewed(ram: GuestRam, paddr: Paddr, length: int) -> None:
    with pytest.raises(RamError, match="got outside"):
        ram.view(paddr, length)


def test_view_over_the_hole_is_refused() -> None:
    ram = GuestRam(SIZE, 1)
    ram.ranges = (RamRange(Paddr(0), Paddr(2 * MIB), 0), RamRange(Paddr(4 * MIB), Paddr(10 * MIB), 2 * MIB))
    with pytest.raises(RamError):
        ram.view(Paddr(2 * MIB - 1), 2)
    assert ram.offset_of(Paddr(4 * MIB)) == 2 * MIB and ram.end_paddr == 10 * MIB


def test_negative_length_is_refused(ram: GuestRam) -> None:
    with pytest.raises(UsageError):
        ram.view(Paddr(0), -1)


def test_array_shares_the_bytes_whatever_its_alignment(ram: GuestRam) -> None:
    dtype = np.dtype([("a", "<u4"), ("b", "<u8")])
    array = ram.array(Paddr(3), dtype, 2)
    array["b"][1] = 0x1122334455667788
    assert ram.view(Paddr(3 + 12 + 4), 8).tobytes() == (0x1122334455667788).to_bytes(8, "little")
    assert np.shares_memory(array, ram.view(Paddr(0), SIZE))


def test_view_outlives_the_guests_memory_object(ram: GuestRam) -> None:
    other = flat(SIZE, 3)
    view = other.view(Paddr(4096), 4096)
    del other
    assert view.tobytes() == garbage_at(3, 4096, 4096)


def test_file_is_used_again_only_after_the_last_view_is_gone() -> None:
    gc.collect()
    size = FILL_ALL_LIMIT  # the largest that is kept: no other file can serve instead
    first = flat(size, 4)
    inode = _inode(first)
    view = first.view(Paddr(0), 4096)
    del first
    second = flat(size, 5)
    assert _inode(second) != inode and view.tobytes() == garbage_at(4, 0, 4096)
    del view
    third = flat(size, 6)
    assert _inode(third) == inode and third.view(Paddr(0), size).tobytes() == garbage_at(6, 0, size)


def test_large_file_that_is_used_again_shows_nothing_of_its_last_guest() -> None:
    gc.collect()
    size = 3 * GIB
    first = flat(size)
    inode = _inode(first)
    first.view(Paddr(700 * MIB), 4096)[:] = 0xEE
    first.view(Paddr(GIB), 4096)[:] = 0xEE
    del first
    second = flat(size)
    assert _inode(second) == inode
    for paddr in (
        Paddr(0),
        Paddr(64 * MIB - 4096),
        Paddr(64 * MIB),
        Paddr(700 * MIB),
        Paddr(GIB - MIB - 4096),
        Paddr(GIB),
        Paddr(size - 4096),
    ):
        assert (second.view(paddr, 4096) == second.garbage(paddr, 4096)).all(), hex(paddr)


def test_a_new_file_and_a_used_one_hold_the_same_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram_module, "_SHELF", ram_module._Shelf())
    size = 3 * GARBAGE_PERIOD - GARBAGE_PERIOD % 4096 + 4096
    new = flat(size, 7)
    inode, held = _inode(new), new.whole.tobytes()
    assert held == garbage_at(7, 0, size)
    del new
    used = flat(size, 7)
    assert _inode(used) == inode and used.whole.tobytes() == held


def test_ram_that_the_host_has_no_room_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram_module, "_SHELF", ram_module._Shelf())

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(HostRamError, match="No space left"):
        GuestRam(SIZE, 1)


def test_a_larger_file_is_used_again_for_a_smaller_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram_module, "_SHELF", ram_module._Shelf())
    first = flat(96 * MIB)
    inode = _inode(first)
    first.whole[:] = 0xEE
    del first
    second = flat(SIZE, 7)
    assert _inode(second) == inode and len(second.whole) == SIZE
    assert second.whole.tobytes() == garbage_at(7, 0, SIZE)
    with pytest.raises(RamError, match="got outside"):
        second.view(SIZE, 1)
    del second
    third = flat(96 * MIB)
    assert _inode(third) == inode and third.whole.tobytes() == garbage_at(1, 0, 96 * MIB)


def test_shelf_of_used_files_is_bounded() -> None:
    for _ in range(3):
        many = [GuestRam(100 * MIB, None) for _ in range(4)]
        del many
    shelved = sum(file.filled_bytes for file in ram_module._SHELF._files)
    assert shelved <= ram_module.RECYCLE_LIMIT


def test_ram_that_cannot_exist_is_an_error_with_its_size() -> None:
    with pytest.raises(HostRamError, match="choose a machine with less RAM"):
        GuestRam(1 << 62, None)


def _inode(ram: GuestRam) -> int:
    return os.fstat(ram.fd).st_ino


def test_a_copy_of_ram_gives_back_every_byte() -> None:
    ram = flat(SIZE)
    ram.view(Paddr(5000), 3)[:] = 7
    ram.view(Paddr(SIZE - 1), 1)[:] ^= 1
    before, kept = ram.whole.copy(), RamCopy(ram)
    ram.whole[:] ^= 0xA5
    kept.write_back(ram)
    assert np.array_equal(ram.whole, before)


@pytest.mark.parametrize(("size", "seed"), [(SIZE, None), (FILL_ALL_LIMIT + SIZE, 1)])
def test_of_ram_that_was_not_all_garbage_there_is_no_copy(size: int, seed: int | None) -> None:
    with pytest.raises(RamError, match="garbage everywhere"):
        RamCopy(flat(size, seed))


def test_ram_that_is_used_again_knows_who_still_looks_at_it() -> None:
    first = flat(SIZE)
    looked_at, view = first.watch(), first.view(Paddr(4096), 8)
    second = first.again()
    del first
    assert looked_at() is not None and second.ranges and second.seed == 1
    assert np.shares_memory(view, second.view(Paddr(4096), 8))
    del view
    assert looked_at() is None


def test_a_ram_file_goes_back_with_the_last_of_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[object] = []
    monkeypatch.setattr(ram_module._SHELF, "put", lambda file, _: returned.append(file))
    first = flat(SIZE)
    second = first.again()
    del first
    assert not returned
    del second
    assert len(returned) == 1
