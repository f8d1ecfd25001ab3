"""Contract section H on one CPU: links, double free, the population of the free lists."""

from __future__ import annotations

import random

import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest import values as guest_values
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import ClauseViolated, expect, expect_loud
from frame_harness.guest.errors import AllocFailed, SubjectPanic

MAX_ORDER = 11
WORDS = [0, 1, 0x1000, 0x0123_4567_89AB_CDEF, 2**63, 2**64 - 2, 2**64 - 1]


@pytest.mark.clause("FREE-07", at="MetaSlot::set_next")
def test_links_hold_any_word(shared_kernel: Kernel) -> None:
    for value in WORDS:
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.call("set_next", value)
        slot.call("set_prev", value ^ 0xFF00)
        in_ram = shared_kernel.slots()[paddr >> 12]
        for link, stored in (("next", value), ("prev", value ^ 0xFF00)):
            expect(
                f"{link} in mapped RAM",
                int(in_ram[link]),
                stored,
                base=16,
                frame=paddr,
                field=link,
                function=f"MetaSlot::set_{link}",
            )
            expect(
                f"{link} as read back",
                slot.call(link)["v"],
                stored,
                base=16,
                frame=paddr,
                function=f"MetaSlot::{link}",
            )


@pytest.mark.level("sequence")
@pytest.mark.clause("FREE-08", at="FrameAllocOptions::allocate")
def test_a_double_free_is_detected_before_it_aliases_a_frame(kernel: Kernel) -> None:
    """Free twice, then allocate everything: a panic must come before the frame has two owners.

    The frame lies in the CPU cache, which takes it twice; on a list the shim's buddy would not.
    """
    paddr = kernel.alloc(zeroed=False)
    kernel.release(paddr)
    expect("whether the freed frame is in the CPU cache", paddr in kernel.cached_frames(), True, frame=paddr)
    owners: list[Paddr] = []
    try:
        kernel.release(paddr)
        while True:
            owners.append(kernel.alloc(zeroed=False))
            expect(
                "owners of the frame that was freed twice",
                owners.count(owners[-1]),
                1,
                frame=owners[-1],
            )
    except SubjectPanic as panic:
        if f"{paddr:x}" not in panic.message:
            raise ClauseViolated(
                "the second free of a frame, then allocation until memory is out",
                expected=f"a panic that names {paddr:#x}",
                got=panic.message,
            ) from panic
    except AllocFailed:
        expect(
            "the second free of a frame, then allocation until memory is out",
            "memory ran out, no panic",
            "panic",
            frame=paddr,
        )


@pytest.mark.level("sequence")
@pytest.mark.clause("FREE-09", at="MetaSlot::set_next")
@pytest.mark.parametrize("seed", [1, 2])
def test_from_full_to_empty_to_full_restores_the_free_lists(kernel: Kernel, seed: int) -> None:
    rng = random.Random(seed)
    kernel.call("buddy.drain")
    initial, quarantined = kernel.free_blocks(), kernel.stats()["quarantined"]
    held: list[tuple[Paddr, int]] = []
    misses = 0
    while misses < 40:
        order = rng.randrange(MAX_ORDER + 1) if misses < 20 else 0
        try:
            held.append((kernel.buddy_alloc(order, rng.choice(["movable", "unmovable"])), order))
            misses = 0 if order == 0 else misses
        except AllocFailed:
            misses += 1
        if misses < 10 and held and rng.random() < 0.2:
            kernel.buddy_free(*held.pop(rng.randrange(len(held))))
        if misses >= 20:
            break
    kernel.call("alloc.all", "new", "zeroed=0")
    expect("free blocks when memory is out", len(kernel.free_blocks()), 0)
    blocks = {pfn for p, o in held for pfn in range(p >> 12, (p >> 12) + (1 << o))}
    singles = guest_values.frames_of_the_buddy(kernel, kernel.live_frames()) - blocks
    everything = [*held, *((pfn << 12, 0) for pfn in singles)]
    rng.shuffle(everything)
    kernel.batch([f"buddy.free {paddr:#x} {order}" for paddr, order in everything])
    kernel.call("buddy.drain")
    expect(
        "healthy frames in quarantine",
        kernel.stats()["quarantined"] - quarantined,
        0,
        function="block_phys_has_poison_guard",
    )
    now = kernel.free_blocks()
    expect("blocks missing from the free lists", sorted(initial - now)[:5], [])
    expect("blocks that were not there at first", sorted(now - initial)[:5], [])


@pytest.mark.level("sequence")
@pytest.mark.clause("FREE-06", at="FrameAllocOptions::allocate")
@pytest.mark.parametrize("last", [False, True], ids=["one-of-many", "the-last-one"])
def test_no_frame_stays_allocated_when_everything_was_given_back(kernel: Kernel, last: bool) -> None:
    """One frame is poisoned while it is free: an allocation that passes it over must not keep it."""
    paddr = kernel.alloc()
    if last:
        kernel.call("alloc.all", "new", "zeroed=0")
    kernel.release(paddr)
    kernel.slot(paddr).mark_poisoned()
    allocated = kernel.stats()["allocated"]
    with expect_loud() as call:
        reply = kernel.request("alloc new")
        if reply.status == "ok":
            kernel.release(Paddr(reply["paddr"]))
    what = "frames that are counted as allocated and held by nobody"
    if call.panic is None and reply.status != "panic":
        expect(what, kernel.stats()["allocated"] - allocated, 0, frame=paddr)
