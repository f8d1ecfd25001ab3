"""Contract section I: PhysFrame, ranges, errors, the allocator trait."""

from __future__ import annotations

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import expect
from frame_harness.guest.errors import AllocFailed
from frame_harness.image.image import Image

LAST = 2**52 - 4096


@pytest.mark.clause("FRAME-01", at="PhysFrame::containing_address")
@pytest.mark.parametrize("address", [0, 1, 4095, 4096, 4097, 0xDEAD_BEEF, LAST, 2**52 - 1], ids=hex)
def test_containing_address_clears_the_low_bits(shared_kernel: Kernel, address: int) -> None:
    expect(
        f"frame containing {address:#x}",
        shared_kernel.call("frame.containing", address)["paddr"],
        address & ~0xFFF,
        base=16,
    )


@pytest.mark.clause("FRAME-01", at="PhysFrame::from_start_address")
@pytest.mark.parametrize("address", [0, 1, 2, 8, 64, 2048, 4095, 4096, 4097, 8192, LAST, LAST + 1], ids=hex)
def test_from_start_address_takes_frame_starts_alone(shared_kernel: Kernel, address: int) -> None:
    try:
        taken = shared_kernel.call("frame.from_start", address)["paddr"]
    except AllocFailed:
        taken = None
    wanted = address if address % 4096 == 0 else None
    expect(f"frame that from_start_address({address:#x}) gives", taken, wanted, base=16)


@pytest.mark.clause("FRAME-02", at="FrameRangeInclusive::next")
@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        (0, 0, 1),
        (0x1000, 0x1000, 1),
        (0x1000, 0x5000, 5),
        (0, 0xFF000, 256),
        (0x5000, 0x4000, 0),
        (LAST, 0, 0),
    ],
)
def test_range_is_inclusive_then_exhausted(shared_kernel: Kernel, start: int, end: int, count: int) -> None:
    reply = shared_kernel.call("frame.range", start, end)
    expect("frames in the range", reply["count"], count)
    expect("whether each frame is the one behind the last", reply["one_by_one"] == 1, True)
    expect("next() after the end", reply["then_none"], 1)
    if count:
        expect("first and last frame", (reply["first"], reply["last"]), (start, end), base=16)


@pytest.mark.clause("FRAME-03", at="FrameRangeInclusive::next")
@pytest.mark.parametrize("start", [LAST, LAST - 4 * 4096], ids=["last-frame-alone", "five-frames"])
def test_a_range_may_end_at_the_last_representable_frame(shared_kernel: Kernel, start: int) -> None:
    reply = shared_kernel.call("frame.range", start, LAST)
    expect("frames up to the last of the 52-bit space", reply["count"], (LAST - start) // 4096 + 1)
    expect("whether each frame is the one behind the last", reply["one_by_one"] == 1, True)
    expect("next() after the end", reply["then_none"], 1)


@pytest.mark.clause("FRAME-04", at="PhysFrame")
@pytest.mark.parametrize(("a", "b"), [(0, 0), (0x1000, 0x2000), (0x2000, 0x1000), (LAST, 0), (LAST, LAST)])
def test_frames_compare_by_address(shared_kernel: Kernel, a: int, b: int) -> None:
    reply = shared_kernel.call("frame.cmp", a, b)
    expect(
        f"order and equality of frames {a:#x}, {b:#x}",
        (reply["ord"], reply["eq"]),
        ((a > b) - (a < b), int(a == b)),
    )


@pytest.mark.level("declaration")
@pytest.mark.clause("FRAME-05", at="AllocError")
def test_error_kinds_are_the_three_of_the_contract(image: Image) -> None:
    wanted = ["OutOfMemory", "InvalidOrder", "InvalidAddress"]
    expect("variants of AllocError", sorted(image.variants("frame::AllocError")), sorted(wanted))


@pytest.mark.clause("FRAME-05", at="AllocError")
def test_an_order_above_the_maximum_is_an_invalid_order(shared_kernel: Kernel) -> None:
    for order in (12, 13, 63, 255):
        with pytest.raises(AllocFailed) as refused:
            shared_kernel.buddy_alloc(order, "unmovable")
        expect(f"error of an allocation of order {order}", refused.value.kind, "InvalidOrder")


@pytest.mark.clause("FRAME-06", at="FrameAllocator::alloc_frame")
def test_alloc_frame_is_an_allocation_of_order_zero(kernel: Kernel) -> None:
    kernel.call("buddy.log clear")
    paddr = kernel.call("trait.alloc_frame")["paddr"]
    asked = [(r["op"], r["order"], int(r["paddr"], 0)) for r in kernel.call("buddy.log").rows()]
    expect("what alloc_frame asked the allocator for", asked, [("alloc", "0", paddr)], base=16)
    kernel.call("trait.free", paddr, 0)
    expect("frame that alloc(0) gives after it", kernel.call("trait.alloc", 0)["paddr"], paddr, base=16)


@pytest.mark.clause("FRAME-06", at="FrameAllocator::alloc_frame")
def test_alloc_frame_tells_what_alloc_of_order_zero_does_when_it_is_refused(kernel: Kernel) -> None:
    """Asked once for each call: a second request would be served behind the caller's back."""
    for refusals in (1, 2):
        kernel.inject("buddy.refuse", refusals)
        replies = [kernel.request("trait.alloc_frame") for _ in range(refusals + 1)]
        told = [reply.outcome.code if reply.status == "fail" else reply.status for reply in replies]
        what = f"outcomes of alloc_frame where alloc(0) is refused {refusals} times"
        expect(what, told, [*["OutOfMemory"] * refusals, "ok"])


@pytest.mark.clause("FRAME-07", at="MetaSlot::is_cow")
def test_cow_dll_look_at_their_own_bit(shared_kernel: Kernel) -> None:
    for flags in (0, 1, 2, 3, 0xFFFF_FFFC, 0xFFFF_FFFD, 0xFFFF_FFFE, 0xFFFF_FFFF):
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.poke_field("flags", flags)
        for method, bit in (("is_cow", 0), ("is_dll", 1)):
            expect(
                f"{method} with flags {flags:#x}",
                slot.call(method)["v"],
                flags >> bit & 1,
                frame=paddr,
                function=f"MetaSlot::{method}",
            )


@pytest.mark.clause("FRAME-08", at="MetaSlot::meta_aux_store")
def test_meta_aux_holds_any_word(shared_kernel: Kernel) -> None:
    for value in (0, 1, 0xFFFF, 0x1_0000, 0xFFFF_FFFF):
        paddr = shared_kernel.alloc()
        slot = shared_kernel.slot(paddr)
        slot.meta_aux_store(value)
        expect(
            "meta_aux in mapped RAM",
            int(shared_kernel.slots()[paddr >> 12]["meta_aux"]),
            value,
            base=16,
            frame=paddr,
            field="meta_aux",
        )
        expect(
            "meta_aux as read back",
            slot.call("meta_aux_load")["v"],
            value,
            base=16,
            frame=paddr,
            function="MetaSlot::meta_aux_load",
        )
