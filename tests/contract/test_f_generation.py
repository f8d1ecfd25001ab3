"""Contract section F: the generation, one more for each life of a frame."""

from __future__ import annotations

import random

import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.expecting import expect_field, field_in_ram
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect, expect_panic


@pytest.mark.clause("GEN-01", at="MetaSlot::note_new_allocation_epoch")
def test_a_claim_adds_one_and_nothing_else_does(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    first = field_in_ram(kernel, paddr, "generation")
    slot = kernel.slot(paddr)
    operations: list[tuple[str, tuple[int, ...]]] = [
        ("set_flags", (0x100,)), ("set_order", (0,)), ("inc_ref", ()), ("dec_ref", ()),
        ("set_refcount", (1,)),
        ("cas_refcount", (1, 2)), ("cas_refcount", (2, 1)), ("reset_refcount", ()), ("set_guard", (1,)),
        ("fetch_or_guard", (2,)), ("mark_poisoned", ()), ("set_guard", (0,)), ("set_vtable_bits", (8,)),
        ("set_vtable_bits", (0,)), ("set_next", (1,)), ("set_prev", (2,)), ("meta_aux_store", (3,)),
        ("reset_with_free_list_meta", ()),
    ]  # fmt: skip
    for method, arguments in operations:
        slot.call(method, *arguments)
        expect_field(
            kernel, paddr, "generation", first, f"generation after {method}", function=f"MetaSlot::{method}"
        )
    kernel.release(paddr)
    expect_field(
        kernel,
        paddr,
        "generation",
        first,
        "generation after free",
        function="MetaSlot::reset_with_free_list_meta",
    )
    kernel.offer(paddr)
    kernel.alloc()
    expect_field(
        kernel,
        paddr,
        "generation",
        first + 1,
        "generation after the next allocation",
        function="FrameAllocOptions::allocate",
    )


@pytest.mark.clause("GEN-01", at="FrameAllocOptions::allocate")
def test_a_refused_claim_begins_no_epoch(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    first = field_in_ram(kernel, paddr, "generation")
    kernel.offer(paddr)
    with expect_panic("second allocation of a live frame"):
        kernel.alloc()
    expect_field(kernel, paddr, "generation", first, "generation after a refused claim")


@pytest.mark.level("sequence")
@pytest.mark.clause("GEN-02", at="meta_generation_matches")
def test_every_life_has_its_own_epoch(kernel: Kernel) -> None:
    """A seeded history of allocations and frees: one more per life, only the holder's epoch matches."""
    rng = random.Random(2)
    seen: dict[int, int] = {}
    live: list[int] = []
    freed: list[Paddr] = []
    n_reused = 0
    for _ in range(60):
        if live and rng.random() < 0.5:
            freed.append(Paddr(live.pop(rng.randrange(len(live)))))
            kernel.release(freed[-1])
            continue
        if freed and rng.random() < 0.5:
            kernel.offer(freed.pop(rng.randrange(len(freed))))
        paddr = kernel.alloc(purpose=rng.choice(["kernel", "user"]), zeroed=False)
        live.append(paddr)
        if paddr in freed:
            freed.remove(paddr)
        epoch = field_in_ram(kernel, paddr, "generation")
        if paddr in seen:
            n_reused += 1
            expect("generation of the next life", epoch, seen[paddr] + 1, frame=paddr, field="generation")
            expect(
                "meta_generation_matches of a stale epoch",
                kernel.call("array.matches", paddr, seen[paddr])["v"],
                0,
                frame=paddr,
            )
        expect(
            "meta_generation_matches of the holder's epoch",
            kernel.call("array.matches", paddr, epoch)["v"],
            1,
            frame=paddr,
        )
        seen[paddr] = epoch
    expect("whether more than 5 frames of the history lived more than once", n_reused > 5, True)


@pytest.mark.clause("GEN-02", at="meta_generation_matches")
def test_an_epoch_that_differs_in_one_bit_is_stale(shared_kernel: Kernel) -> None:
    paddr = shared_kernel.alloc()
    epoch = 0x1234_5678
    shared_kernel.slot(paddr).call("set_generation", epoch)
    asked = [epoch, *(epoch ^ 1 << bit for bit in range(32))]
    found = [shared_kernel.call("array.matches", paddr, value)["v"] for value in asked]
    expect("meta_generation_matches, then of 32 stale epochs", found, [1, *[0] * 32], frame=paddr)


@pytest.mark.clause("GEN-03", at="FrameAllocOptions::allocate")
def test_generation_wraps_to_zero_without_panic(kernel: Kernel) -> None:
    paddr = kernel.buddy_alloc(0, "unmovable")
    kernel.slot(paddr).set_generation(2**32 - 1)
    kernel.offer(paddr)
    expect("frame handed out", kernel.alloc(), paddr, base=16)
    expect_field(kernel, paddr, "generation", 0, "generation after the wrap")
