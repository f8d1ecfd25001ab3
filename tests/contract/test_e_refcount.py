"""Contract section E: the reference count on one CPU."""

from __future__ import annotations

import pytest

from frame_harness.frame_guest.expecting import expect_field, field_in_ram
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect, expect_loud

UNUSED = 2**32 - 1
SWAPS = [(1, 1, 2), (0, 0, UNUSED), (UNUSED, UNUSED, 1), (5, 4, 9), (UNUSED, 0, 1), (0, UNUSED, 1), (7, 7, 7)]


@pytest.mark.clause("REF-01", at="MetaSlot::inc_ref")
def test_free_frames_carry_the_sentinel_live_ones_count(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    slot = kernel.slot(paddr)
    expect_field(
        kernel, paddr, "refcount", 1, "refcount of a fresh allocation", function="FrameAllocOptions::allocate"
    )
    expect("get_refcount", slot.get_refcount(), 1, frame=paddr, function="MetaSlot::get_refcount")
    slot.inc_ref()
    slot.inc_ref()
    expect_field(kernel, paddr, "refcount", 3, "refcount after two inc_ref")
    kernel.release(paddr)
    expect_field(
        kernel,
        paddr,
        "refcount",
        UNUSED,
        "refcount of a freed frame",
        base=16,
        function="MetaSlot::set_refcount",
    )


@pytest.mark.clause("REF-01", at="MetaSlot::dec_ref")
def test_dec_ref_returns_the_value_before(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    slot.poke_field("refcount", 3)
    returned = [slot.dec_ref() for _ in range(3)]
    expect("values returned by three dec_ref from 3", returned, [3, 2, 1], frame=paddr, field="refcount")
    expect_field(shared_kernel, paddr, "refcount", 0, "refcount after them")


@pytest.mark.clause("REF-02", at="MetaSlot::cas_refcount")
def test_compare_and_swap(shared_kernel: Kernel) -> None:
    for stored, expected, new in SWAPS:
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.poke_field("refcount", stored)
        outcome = slot.cas_refcount(expected, new)
        swapped = stored == expected
        expect(
            f"cas_refcount({expected:#x}, {new:#x}) on {stored:#x}: (swapped, value)",
            outcome,
            (swapped, stored),
            frame=paddr,
            field="refcount",
        )
        expect_field(
            shared_kernel, paddr, "refcount", new if swapped else stored, "refcount after it", base=16
        )


@pytest.mark.clause("REF-03", at="MetaSlot::set_refcount")
def test_set_refcount_stores_anything(shared_kernel: Kernel) -> None:
    for value in (0, 1, 2, 0x8000_0000, UNUSED - 1, UNUSED):
        paddr = shared_kernel.alloc()
        shared_kernel.slot(paddr).set_refcount(value)
        expect_field(shared_kernel, paddr, "refcount", value, "stored refcount", base=16)


@pytest.mark.clause("REF-03", at="MetaSlot::reset_refcount")
def test_reset_refcount_stores_zero(shared_kernel: Kernel) -> None:
    for value in (1, 12345, UNUSED):
        paddr = shared_kernel.alloc()
        shared_kernel.slot(paddr).poke_field("refcount", value)
        shared_kernel.slot(paddr).call("reset_refcount")
        expect_field(shared_kernel, paddr, "refcount", 0, "refcount after reset_refcount")


@pytest.mark.clause("REF-07", at="MetaSlot::dec_ref")
def test_dec_ref_on_zero_never_forges_the_free_sentinel(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    slot = kernel.slot(paddr)
    slot.set_refcount(0)
    with expect_loud() as call:
        slot.dec_ref()
    after = field_in_ram(kernel, paddr, "refcount")
    expect(
        "what dec_ref on 0 did",
        "panic" if call.panicked else f"{after:#x}",
        "panic" if call.panicked else "0x0",
        frame=paddr,
        field="refcount",
    )
    expect(
        "whether refcount after dec_ref on 0 is the free sentinel",
        after == UNUSED,
        False,
        frame=paddr,
        field="refcount",
    )


@pytest.mark.clause("REF-07", at="MetaSlot::inc_ref")
def test_inc_ref_never_steps_onto_the_free_sentinel(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    slot = kernel.slot(paddr)
    slot.set_refcount(UNUSED - 1)
    with expect_loud():
        slot.inc_ref()
    expect(
        "whether refcount after inc_ref on one below the sentinel is the sentinel",
        field_in_ram(kernel, paddr, "refcount") == UNUSED,
        False,
        frame=paddr,
        field="refcount",
    )


@pytest.mark.clause("REF-07", at="MetaSlot::inc_ref")
def test_inc_ref_never_wraps_from_the_sentinel_to_zero(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.release(paddr)
    slot = kernel.slot(paddr)
    with expect_loud():
        slot.inc_ref()
    after = field_in_ram(kernel, paddr, "refcount")
    expect(
        "refcount after inc_ref on a free frame", f"{after:#x}", f"{UNUSED:#x}", frame=paddr, field="refcount"
    )
