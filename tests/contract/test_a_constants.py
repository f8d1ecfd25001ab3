"""Contract section A: the constants, as the compiled subject evaluates them."""

from __future__ import annotations

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect


def expect_constants(kernel: Kernel, expected: dict[str, int]) -> None:
    reply = kernel.call("const")
    for name, value in expected.items():
        expect(f"constant {name}", reply[name], value, base=16, function=name)


@pytest.mark.level("declaration")
@pytest.mark.clause("CONST-01")
def test_page_size_slot_size_slot_alignment(shared_kernel: Kernel) -> None:
    expect_constants(shared_kernel, {"PAGE_SIZE": 4096, "FRAME_META_SIZE": 64, "FRAME_META_ALIGN": 64})


@pytest.mark.level("declaration")
@pytest.mark.clause("CONST-02")
def test_sentinels_are_all_ones(shared_kernel: Kernel) -> None:
    expect_constants(shared_kernel, {"FRAME_META_LINK_NONE": 2**64 - 1, "REFCOUNT_UNUSED": 2**32 - 1})


@pytest.mark.level("declaration")
@pytest.mark.clause("CONST-03")
def test_guard_bits(shared_kernel: Kernel) -> None:
    expect_constants(
        shared_kernel,
        {"meta_guard::NONE": 0, "meta_guard::KERNEL_ONLY": 1 << 0, "meta_guard::POISONED": 1 << 31},
    )


@pytest.mark.level("declaration")
@pytest.mark.clause("CONST-04")
def test_flag_bits(shared_kernel: Kernel) -> None:
    expect_constants(
        shared_kernel,
        {
            "frame_flags::COW": 1 << 0,
            "frame_flags::DLL": 1 << 1,
            "frame_flags::ANONYMOUS": 1 << 2,
            "frame_flags::ALLOCATED": 1 << 8,
            "frame_flags::FREE": 1 << 9,
            "frame_flags::KERNEL": 1 << 10,
            "frame_flags::USER": 1 << 11,
            "frame_flags::POISONED": 1 << 12,
            "frame_flags::MOVABLE": 1 << 13,
        },
    )


@pytest.mark.clause("CONST-05", at="MetaSlot::set_guard")
def test_poisoned_guard_says_nothing_in_the_flags(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    flags = slot.get_flags()
    slot.set_guard(1 << 31)
    expect("flags after the guard's POISONED bit", slot.get_flags(), flags, frame=paddr, field="flags")


@pytest.mark.clause("CONST-05", at="MetaSlot::set_flags")
def test_poisoned_flag_says_nothing_in_the_guard(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    slot = shared_kernel.slot(paddr)
    slot.set_flags(slot.get_flags() | 1 << 12)
    expect("guard after the flags' POISONED bit", slot.get_guard(), 0, frame=paddr, field="guard")
    expect("is_guard_poisoned", slot.is_guard_poisoned(), 0, frame=paddr, field="guard")
