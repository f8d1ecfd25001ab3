"""Proves that a panic of the guest's buddy takes no frame along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import SubjectPanic
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

CACHE_CAPACITY = 64
LINK_NONE = 2**64 - 1
FREE, ALLOCATED = 1 << 9, 1 << 8


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("q35")) as kernel:
        yield kernel


def test_frame_that_found_no_room_in_the_cache_stays_its_holder_s(kernel: Kernel) -> None:
    frames = [kernel.alloc(zeroed=False) for _ in range(CACHE_CAPACITY + 1)]
    kernel.call("buddy.drain")
    for paddr in frames[:-1]:
        kernel.release(paddr)
    kernel.slot(frames[0]).set_flags(ALLOCATED)
    before = kernel.stats()["allocated"]
    with pytest.raises(SubjectPanic, match=f"{frames[0]:#x} .* is in use"):
        kernel.release(frames[-1])
    assert kernel.slot(frames[-1]).get_flags() & (FREE | ALLOCATED) == ALLOCATED
    assert kernel.stats()["allocated"] == before


def test_free_of_a_listed_frame_is_refused_with_nothing_changed(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.release(paddr)
    kernel.call("buddy.drain")
    before, slots = kernel.free_blocks(), kernel.slots().tobytes()
    with pytest.raises(SubjectPanic, match="double free"):
        kernel.release(paddr)
    assert (kernel.free_blocks(), kernel.slots().tobytes()) == (before, slots)


def test_single_frame_that_is_freed_twice_into_a_full_cache_is_noticed(kernel: Kernel) -> None:
    frames = [kernel.alloc(zeroed=False) for _ in range(CACHE_CAPACITY)]
    kernel.call("buddy.drain")
    for paddr in frames:
        kernel.release(paddr)
    with pytest.raises(SubjectPanic, match="double free"):
        kernel.release(frames[0])
    assert INVARIANTS.check_all(kernel.state()).violated == frozenset()


def test_block_that_cannot_be_merged_leaves_every_list_as_it_was(kernel: Kernel) -> None:
    block = kernel.buddy_alloc(1, "unmovable")
    far_buddy = kernel.slot(
        Paddr(block ^ 0x4000)
    )  # behind the buddy of the block's own order, which is free as well
    before, link = kernel.free_blocks(), far_buddy.call("next")["v"]
    far_buddy.call("set_next", 0x1000)
    with pytest.raises(SubjectPanic, match="free-list corruption"):
        kernel.buddy_free(block, 1)
    far_buddy.call("set_next", link)
    assert kernel.free_blocks() == before
    assert kernel.slot(block).get_flags() & (FREE | ALLOCATED) == ALLOCATED
    kernel.buddy_free(block, 1)


def test_frames_that_were_fetched_before_a_panic_wait_in_the_cache(kernel: Kernel) -> None:
    frames = [kernel.buddy_alloc(0, "unmovable") for _ in range(6)]
    kernel.call("buddy.drain")
    for paddr in frames[::2]:
        kernel.release(paddr)
    kernel.call("buddy.drain")
    on_list = [frames[0]]
    while (following := Paddr(kernel.slot(on_list[-1]).call("next")["v"])) != LINK_NONE:
        on_list.append(following)
    broken = on_list[-1]
    flags = kernel.slot(broken).get_flags()
    kernel.slot(broken).set_flags(0)
    with pytest.raises(SubjectPanic, match="free-list corruption"):
        kernel.alloc()
    kernel.slot(broken).set_flags(flags)
    assert kernel.cached_frames() & {*frames[::2], *on_list}
    assert INVARIANTS.check_all(kernel.state()).violated == frozenset()
