"""Contract section G, first half: guard bits, poison, quarantine."""

from __future__ import annotations

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.guest.checks import ClauseViolated, expect

POISONED_GUARD, POISONED_FLAG = 1 << 31, 1 << 12
GUARD_FLAGS_POISONED = [
    (0, 0, 0),
    (0, POISONED_FLAG, 0),
    (POISONED_GUARD, 0, 1),
    (0x7FFF_FFFF, 0xFFFF_FFFF, 0),
    (0xFFFF_FFFF, 0, 1),
]
GUARD_BEFORE_AFTER_FREE = [
    (0, 0),
    (1, 0),
    (0x7FFF_FFFF, 0),
    (POISONED_GUARD, POISONED_GUARD),
    (0xFFFF_FFFF, POISONED_GUARD),
]


@pytest.mark.clause("GUARD-01", at="MetaSlot::fetch_or_guard")
def test_guard_is_set_read_ored(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    slot.set_guard(0x5)
    in_ram = int(shared_kernel.slots()[paddr >> 12]["guard"])
    expect("guard after set_guard", in_ram, 0x5, frame=paddr, field="guard", function="MetaSlot::set_guard")
    expect("get_guard", slot.get_guard(), 0x5, frame=paddr, function="MetaSlot::get_guard")
    expect(
        "old bits returned by fetch_or_guard",
        slot.call("fetch_or_guard", 0xA0)["v"],
        0x5,
        frame=paddr,
        field="guard",
    )
    expect("guard after fetch_or_guard", slot.get_guard(), 0xA5, base=16, frame=paddr, field="guard")


@pytest.mark.clause("CONST-05", at="MetaSlot::fetch_or_guard")
def test_fetch_or_guard_poisons_the_guard_alone(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    flags = slot.get_flags()
    slot.call("fetch_or_guard", POISONED_GUARD)
    expect("flags", slot.get_flags(), flags, base=16, frame=paddr, field="flags")


@pytest.mark.clause("GUARD-02", at="MetaSlot::mark_poisoned")
def test_mark_poisoned_sets_both_bits_and_keeps_the_rest(shared_kernel: Kernel) -> None:
    for guard, flags in ((0, 0x500), (1, 0x2907), (0x7FFF_FFFF, 0xFFFF_EFFF)):
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.set_guard(guard)
        slot.set_flags(flags)
        slot.mark_poisoned()
        expect("guard", slot.get_guard(), guard | POISONED_GUARD, base=16, frame=paddr, field="guard")
        expect("flags", slot.get_flags(), flags | POISONED_FLAG, base=16, frame=paddr, field="flags")


@pytest.mark.clause("GUARD-03", at="MetaSlot::is_guard_poisoned")
def test_poisoned_is_the_guard_bit_alone(shared_kernel: Kernel) -> None:
    for guard, flags, poisoned in GUARD_FLAGS_POISONED:
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.set_guard(guard)
        slot.set_flags(flags)
        expect(
            f"is_guard_poisoned with guard {guard:#x}, flags {flags:#x}",
            slot.is_guard_poisoned(),
            poisoned,
            frame=paddr,
            field="guard",
        )


@pytest.mark.clause("GUARD-04", at="MetaSlot::reset_with_free_list_meta")
def test_returning_to_the_free_list_keeps_poison_alone(shared_kernel: Kernel) -> None:
    for guard, left in GUARD_BEFORE_AFTER_FREE:
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.set_guard(guard)
        slot.set_vtable_bits(shared_kernel.vtable("both"))
        slot.call("reset_with_free_list_meta")
        expect("guard", slot.get_guard(), left, base=16, frame=paddr, field="guard")
        expect("vtable bits", slot.vtable_bits(), 0, base=16, frame=paddr, field="vtable")


@pytest.mark.clause("GUARD-05", at="FrameAllocOptions::allocate")
def test_a_new_epoch_clears_guard_vtable(kernel: Kernel) -> None:
    paddr = kernel.buddy_alloc(0, "unmovable")
    slot = kernel.slot(paddr)
    slot.set_guard(0x7FFF_FFFF)
    slot.set_vtable_bits(kernel.vtable("both"))
    kernel.offer(paddr)
    expect("frame handed out", kernel.alloc(), paddr, base=16)
    expect("guard of the new life", slot.get_guard(), 0, base=16, frame=paddr, field="guard")
    expect("vtable of the new life", slot.vtable_bits(), 0, base=16, frame=paddr, field="vtable")


@pytest.mark.clause("GUARD-05", at="MetaSlot::note_new_allocation_epoch")
def test_the_epoch_itself_clears_guard_vtable_and_counts(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    slot.set_guard(0xFFFF_FFFF)
    slot.set_vtable_bits(8)
    before = slot.generation()
    slot.call("note_new_allocation_epoch")
    expect("guard of the epoch", slot.get_guard(), 0, base=16, frame=paddr, field="guard")
    expect("vtable of the epoch", slot.vtable_bits(), 0, base=16, frame=paddr, field="vtable")
    expect("generation of the epoch", slot.generation(), before + 1, frame=paddr, field="generation")


def poisoned(kernel: Kernel, block: int, order: int) -> int:
    return kernel.call("array.poisoned", block, order)["v"]


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_a_block_is_poisoned_exactly_when_one_of_its_frames_is(shared_kernel: Kernel) -> None:
    for order in (0, 1, 2, 3, 5, 9):
        block = shared_kernel.buddy_alloc(order + 1, "unmovable")
        frames = 1 << order
        outside = Paddr(block + (frames << 12))

        expect(f"healthy block of order {order}", poisoned(shared_kernel, block, order), 0, frame=block)
        shared_kernel.slot(outside).set_guard(POISONED_GUARD)
        expect(
            "block whose neighbor outside is poisoned", poisoned(shared_kernel, block, order), 0, frame=block
        )
        for index in sorted({0, frames // 2, frames - 1}):
            inside = Paddr(block + (index << 12))
            shared_kernel.slot(inside).set_guard(POISONED_GUARD)
            expect(
                f"block whose frame {index} of {frames} is poisoned",
                poisoned(shared_kernel, block, order),
                1,
                frame=block,
            )
            shared_kernel.slot(inside).set_guard(0x7FFF_FFFF)
            expect(
                "block whose frame has every guard bit but POISONED",
                poisoned(shared_kernel, block, order),
                0,
                frame=block,
            )
            shared_kernel.slot(inside).set_guard(0)


@pytest.mark.clause("GUARD-06", at="block_phys_has_poison_guard")
def test_before_the_array_exists_nothing_is_poisoned(boot: Boot) -> None:
    kernel = boot(init="none")
    expect(
        "block_phys_has_poison_guard before init_metadata_array",
        kernel.call("array.poisoned", 0x10_0000, 3)["v"],
        0,
    )


@pytest.mark.level("sequence")
@pytest.mark.clause("GUARD-07", at="MetaSlot::reset_with_free_list_meta")
@pytest.mark.parametrize("order", [0, 1, 3, 9])
def test_a_poisoned_block_that_is_freed_is_quarantined_for_ever(kernel: Kernel, order: int) -> None:
    """One frame of the block is poisoned; after the free none of its frames is ever handed out."""
    block = kernel.alloc() if order == 0 else kernel.buddy_alloc(order, "unmovable")
    pfns = (block >> 12) + np.arange(1 << order)
    sick = Paddr(block + ((1 << order) - 1 << 12))
    kernel.slot(sick).mark_poisoned()
    quarantined = kernel.stats()["quarantined"]
    kernel.release(block, order)
    expect(
        "frames counted in quarantine",
        kernel.stats()["quarantined"] - quarantined,
        1 << order,
        frame=block,
    )
    kernel.call("buddy.drain")
    listed = {pfn for first, size, _ in kernel.free_blocks() for pfn in range(first, first + (1 << size))}
    expect("frames of the block on a free list", sorted(listed & set(pfns.tolist())), [], frame=block)
    handed_out = kernel.generation_changes(lambda: kernel.call("alloc.all", "new", "zeroed=0"))
    expect("frames of the block handed out again", sorted(set(pfns.tolist()) & handed_out), [], frame=block)
    expect(
        "is_guard_poisoned of the poisoned slot afterwards",
        kernel.slot(sick).is_guard_poisoned(),
        1,
        frame=sick,
        field="guard",
    )


def allocate_everything_beside_a_sick_frame(kernel: Kernel, paddr: Paddr) -> None:
    """The frame is free and poisoned; allocate until memory is out, then see whether it lives again."""
    handed_out = kernel.generation_changes(lambda: kernel.call("alloc.all", "new", "zeroed=0"))
    if not handed_out:
        raise ClauseViolated("allocation until memory is out", expected="some frames", got="none")
    slot = kernel.slots()[paddr >> 12]
    expect(
        "whether the poisoned free frame was handed out",
        paddr >> 12 in handed_out,
        False,
        frame=paddr,
        field="guard",
    )
    expect(
        "its POISONED bit afterwards",
        int(slot["guard"]) & POISONED_GUARD,
        POISONED_GUARD,
        base=16,
        frame=paddr,
        field="guard",
    )


@pytest.mark.level("sequence")
@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
def test_a_frame_poisoned_in_the_cpu_cache_is_not_handed_out(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.release(paddr)
    expect("whether the freed frame is in the CPU cache", paddr in kernel.cached_frames(), True, frame=paddr)
    kernel.slot(paddr).mark_poisoned()
    allocate_everything_beside_a_sick_frame(kernel, paddr)


@pytest.mark.level("sequence")
@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
def test_a_frame_poisoned_on_a_free_list_is_not_handed_out(kernel: Kernel) -> None:
    blocks = kernel.free_blocks()
    expect("the buddy has free blocks", bool(blocks), True)
    first, order, _ = max(blocks, key=lambda block: block[1])
    paddr = Paddr((first + (1 << order) // 2) << 12)
    kernel.slot(paddr).mark_poisoned()
    allocate_everything_beside_a_sick_frame(kernel, paddr)


@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
@pytest.mark.parametrize("flagged", [True, False], ids=["both-marks", "guard-alone"])
def test_a_poisoned_frame_that_the_buddy_offers_does_not_stop_allocation(
    kernel: Kernel, flagged: bool
) -> None:
    """The guard decides; the flag is a copy that the buddy may have replaced."""
    paddr = kernel.buddy_alloc(0, "unmovable")
    if flagged:
        kernel.slot(paddr).mark_poisoned()
    else:
        kernel.slot(paddr).set_guard(POISONED_GUARD)
    kernel.offer(paddr)
    other = kernel.alloc()
    expect("whether the poisoned frame was handed out", other == paddr, False, frame=paddr, field="guard")
    guard = int(kernel.slots()[paddr >> 12]["guard"])
    expect("its poison", guard & POISONED_GUARD, POISONED_GUARD, base=16, frame=paddr, field="guard")
    expect("refcount of the frame handed out instead", kernel.slot(other).get_refcount(), 1, frame=other)
