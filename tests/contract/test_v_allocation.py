"""The contract at the boundaries of an allocation: purposes, what a slot held before, orders, frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.contract.boundaries import around
from frame_harness.contract.methods import CallEnd, Case, SlotValues, background
from frame_harness.frame_guest.expecting import expect_refusal
from frame_harness.frame_guest.hooks import expect_hooks
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_guest.values import block_handed_out
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_values import WIDE_RAM, boundary_frames, boundary_indexes
from frame_harness.frame_metadata.functions import ALLOCATE, FUNCTIONS
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.boundaries import outcomes, tell, write_slots
from frame_harness.guest.checks import OtherClauseViolated, expect
from frame_harness.guest.reply import Reply

pytestmark = pytest.mark.one_machine

ROOM_ORDER = 8
"""Of the block whose frames the cases live in; there are at most 193 boundary values of 64 bits."""
BLOCKS_RAM = "128 MiB"
INVALID_ORDERS = [order for order in around(8) if order > C.max_order]

# What the slot held before at its boundaries: the field with the clause that says what becomes of it.
EARLIER_LIVES = {
    "next": "ALLOC-09",
    "prev": "ALLOC-09",
    "order": "ALLOC-09",
    "meta_aux": "ALLOC-09",
    "flags": "ALLOC-02",
    "vtable": "GUARD-05",
    "guard": "GUARD-05",
    "generation": "GEN-01",
}
OF_NEW_LIFE = {**EARLIER_LIVES, "refcount": "ALLOC-09"}


def new_life(before: SlotValues, flags: int) -> SlotValues:
    """The slot that an allocation leaves of a free one."""
    generation = before["generation"] + 1 & 0xFFFF_FFFF
    fixed = {"refcount": 1, "order": 0, "vtable": 0, "guard": 0, "generation": generation}
    return before | fixed | {"flags": flags | C.flag_allocated}


def free_slot(**fields: int) -> SlotValues:
    """A slot as the buddy hands it out: unused, healthy; all else are patterns of an earlier life."""
    slot = background(META_SLOT)
    return slot | {"refcount": C.refcount_unused, "guard": slot["guard"] & ~C.guard_poisoned} | fields


def claims(cases: Sequence[tuple[SlotValues, int]]) -> list[Case]:
    return [Case(before, (flags,), (CallEnd(new_life(before, flags)),)) for before, flags in cases]


def claim(kernel: Kernel, cases: Sequence[Case]) -> tuple[list[Reply], np.ndarray]:
    """Offer a frame for each case to an allocation; returns the replies with the slots afterwards."""
    block = kernel.buddy_alloc(ROOM_ORDER, "unmovable")
    first = block >> 12
    assert len(cases) <= 1 << ROOM_ORDER, "more cases than frames"
    table = kernel.slots()[first : first + len(cases)]
    kept = table.copy()
    write_slots(table, cases, META_SLOT)
    kernel.call("buddy.log clear")
    requests = []
    for index, case in enumerate(cases):
        requests.append(f"inject buddy.next {block + (index << 12):#x}")
        requests.append(f"alloc new zeroed=0 purpose=custom:{case.arguments[0]:#x}")
    replies = [reply for reply in outcomes(kernel, requests) if reply.request.startswith("alloc")]
    after = table.copy()
    table[:] = kept
    kernel.buddy_free(block, ROOM_ORDER)
    return replies, after


def expect_lives(cases: Sequence[Case], replies: Sequence[Reply], after: np.ndarray, clause: str) -> None:
    """Require of each allocation the slot that the contract promises.

    Args:
        clause: of the check; a field of which another clause speaks is a violation of that one.
    """
    wanted = after.copy()
    write_slots(wanted, [Case(dict(c.allowed[0].after), (), ()) for c in cases], META_SLOT)
    for index, case in enumerate(cases):
        expect(f"`{replies[index].request}`", replies[index].status, "ok")
        for name, found in case.before.items():
            got, want = int(after[index][name]), int(wanted[index][name])
            what = f"{name} after `{replies[index].request}` on a slot with {name} {found:#x}"
            broken = OF_NEW_LIFE.get(name, clause)
            if got != want and broken != clause:
                raise OtherClauseViolated(
                    broken, what, expected=f"{want:#x}", got=f"{got:#x}", field=name, function=ALLOCATE
                )
            expect(what, got, want, base=16, field=name)
    expect("slots with changed reserved bytes", np.flatnonzero(after != wanted)[:5].tolist(), [])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.clause(clause, at="FrameAllocOptions::allocate"))
        for name, clause in EARLIER_LIVES.items()
    ],
)
def test_new_life_after_each_value_of_the_earlier_one(shared_kernel: Kernel, name: str) -> None:
    values = around({"next": 64, "prev": 64, "vtable": 64, "order": 8, "guard": 31}.get(name, 32))
    values = tuple(value for value in values if (name, value) != ("generation", 2**32 - 1))
    if name == "flags":
        values = tuple(value & ~C.flag_poisoned for value in values)
    cases = claims([(free_slot(**{name: value}), 0) for value in values])
    expect_lives(cases, *claim(shared_kernel, cases), EARLIER_LIVES[name])


@pytest.mark.clause("ALLOC-02", at="FrameAllocOptions::allocate")
def test_each_custom_flag_becomes_a_flag(shared_kernel: Kernel) -> None:
    cases = claims(
        [(free_slot(flags=~(flags | C.flag_poisoned) & 0xFFFF_FFFF), flags) for flags in around(32)]
    )
    expect_lives(cases, *claim(shared_kernel, cases), "ALLOC-02")


@pytest.mark.clause("ALLOC-08", at="FrameAllocOptions::allocate")
def test_each_custom_flag_but_movable_leaves_the_migratetype(shared_kernel: Kernel) -> None:
    cases = claims([(free_slot(), flags) for flags in around(32)])
    claim(shared_kernel, cases)
    asked = [row for row in shared_kernel.call("buddy.log").rows() if row["op"] == "alloc"]
    wanted = ["movable" if flags & C.flag_movable else "unmovable" for flags in around(32)]
    expect("migratetype asked for", [row["mt"] for row in asked], wanted)
    expect("order asked for", {row["order"] for row in asked}, {"0"})


@pytest.mark.clause("ALLOC-03")
def test_no_custom_flag_requires_zero(shared_kernel: Kernel) -> None:
    asked = [f"purpose.zero {word}" for word in ("pagetable", "kernel", "user")]
    asked += [f"purpose.zero custom:{flags:#x}" for flags in around(32)]
    said = [reply["v"] for reply in outcomes(shared_kernel, asked)]
    expect("requires_zero", said, [1, *[0] * (len(asked) - 1)])


@pytest.mark.clause("ALLOC-10", at="FrameAllocOptions::allocate")
@pytest.mark.machine("q35-5g")
def test_a_live_frame_behind_the_pci_hole_is_refused_by_its_name(shared_kernel: Kernel) -> None:
    paddr = Paddr((4 << 30) + (32 << 20))
    shared_kernel.offer(paddr)
    expect("frame handed out", shared_kernel.alloc(), paddr, base=16)
    shared_kernel.offer(paddr)
    reply = shared_kernel.request("alloc new zeroed=0")
    expect_refusal(f"`{reply.request}`", reply, paddr, 1)


@pytest.mark.clause("ALLOC-11", at="FrameAllocOptions::allocate")
def test_there_is_a_frame_in_a_memory_of_two_to_the_power_of_16_frames(boot: Boot) -> None:
    """A number of frames that is 0 in 16 bits."""
    kernel = boot(ram=4096 << 16)
    expect("frames of the table", kernel.frames, 1 << 16)
    expect("generation of the frame handed out", kernel.slot(kernel.alloc()).generation(), 1)


@pytest.mark.clause("ALLOC-10", at="FrameAllocOptions::allocate")
def test_each_count_but_the_sentinel_is_refused(shared_kernel: Kernel) -> None:
    counts = [count for count in around(32) if count != C.refcount_unused]
    replies, after = claim(shared_kernel, claims([(free_slot(refcount=count), 0) for count in counts]))
    rows = shared_kernel.call("buddy.log").rows()
    frames = {Paddr(int(row["paddr"], 0)) for row in rows if row["op"] == "alloc"}
    for paddr, count, reply in zip(sorted(frames), counts, replies, strict=True):
        expect_refusal(f"`{reply.request}`", reply, paddr, count)
    expect("counts after it", after["refcount"].tolist(), counts, base=16, field="refcount")


@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
def test_poison_is_seen_beside_each_other_guard_bit(kernel: Kernel) -> None:
    block = kernel.buddy_alloc(ROOM_ORDER, "unmovable")
    guards = [
        C.guard_poisoned | others for others in (0, *(1 << bit for bit in range(31)), C.guard_poisoned - 1)
    ]
    sick = [block + (index << 12) for index in range(len(guards))]
    first = block >> 12
    kernel.slots()["guard"][first : first + len(guards)] = guards
    requests = [word for paddr in sick for word in (f"inject buddy.next {paddr:#x}", "alloc new zeroed=0")]
    replies = [reply for reply in outcomes(kernel, requests) if reply.request.startswith("alloc")]
    got = {reply["paddr"] for reply in replies if reply.status == "ok"}
    handed_out = [index for index, paddr in enumerate(sick) if paddr in got]
    if handed_out:
        tell(kernel, replies, handed_out[0])
    found = [f"{guards[index]:#x}" for index in handed_out[:3]]
    expect("first guards of poisoned frames that were handed out", found, [])
    left = kernel.slots()["guard"][first : first + len(guards)] & np.uint32(C.guard_poisoned)
    expect("poison left in them", set(left.tolist()), {C.guard_poisoned}, base=16, field="guard")


def usable(kernel: Kernel) -> set[int]:
    """Frames of free blocks."""
    return {pfn for first, order, _ in kernel.free_blocks() for pfn in range(first, first + (1 << order))}


@pytest.mark.clause("ALLOC-04", at="FrameAllocOptions::allocate")
def test_each_boundary_frame_is_zeroed_and_no_byte_beside_it(boot: Boot) -> None:
    kernel = boot(ram=WIDE_RAM)
    free = usable(kernel)
    edges = {first + step for first, order, _ in kernel.free_blocks() for step in (0, (1 << order) - 1)}
    frames = sorted(({*boundary_frames(kernel.frames)} | edges) & free)
    assert len(frames) > 40, "too few of the boundary frames are free"
    for pfn in frames:
        near = [other for other in (pfn - 1, pfn, pfn + 1) if other in free]
        for other in near:
            kernel.payload(Paddr(other << 12))[:] = 0xFF
        offered = [f"inject buddy.next {pfn << 12:#x}", "alloc new zeroed=1 purpose=user"]
        _, reply = kernel.batch(offered)
        got = block_handed_out(kernel, Paddr(reply["paddr"]), by="FrameAllocOptions::allocate")
        expect("frame handed out", got, pfn << 12, base=16)
        for other in near:
            if other != pfn:
                expect_no_writing(kernel, Paddr(other << 12))
        left = [int(np.count_nonzero(kernel.payload(Paddr(other << 12)))) for other in near]
        wanted = [0 if other == pfn else 4096 for other in near]
        expect("bytes other than 0 in the frame and its neighbors", left, wanted, frame=Paddr(pfn << 12))
        free.remove(pfn)


def expect_no_writing(kernel: Kernel, paddr: Paddr) -> None:
    """Require that a free frame full of ones holds ones alone, or zeroes, which zeroing may have left."""
    written = kernel.payload(paddr)
    found = written[(written != 0xFF) & (written != 0)]
    if found.size:
        raise OtherClauseViolated(
            "FREE-01", "bytes of a free frame that were written", expected="none",
            got=f"{found.size}, the first of them {int(found[0]):#x}", frame=paddr, field="payload",
            function=FUNCTIONS.keeper_of("payload"),
        )  # fmt: skip


@pytest.mark.clause("FREE-09", at="MetaSlot::set_next")
def test_block_of_each_order_comes_and_goes(boot: Boot) -> None:
    kernel = boot(ram=BLOCKS_RAM)
    kernel.call("buddy.drain")
    initial = kernel.free_blocks()
    for order in range(C.max_order + 1):
        for give in ("buddy.alloc {} movable", "buddy.alloc {} unmovable", "trait.alloc {}"):
            block = Paddr(kernel.call(give.format(order))["paddr"])
            expect(f"address of a block of order {order}, modulo its size", block % (4096 << order), 0)
            orders = kernel.slots()["order"][block >> 12 : (block >> 12) + (1 << order)]
            if set(orders.tolist()) != {order}:
                raise OtherClauseViolated(
                    "FREE-04", f"order in each slot of a block of order {order}", expected=str({order}),
                    got=str(set(orders.tolist())), frame=block, field="order",
                    function=FUNCTIONS.keeper_of("order"),
                )  # fmt: skip
            kernel.call("trait.free" if "trait" in give else "buddy.free", block, order)
    kernel.call("buddy.drain")
    expect("free blocks that changed", sorted(initial ^ kernel.free_blocks())[:5], [])


@pytest.mark.clause("FRAME-05")
def test_each_order_above_the_largest_is_invalid(shared_kernel: Kernel) -> None:
    asked = [f"buddy.alloc {order} unmovable" for order in INVALID_ORDERS]
    asked += [f"trait.alloc {order}" for order in INVALID_ORDERS]
    said = [(reply.status, reply.outcome.code) for reply in outcomes(shared_kernel, asked)]
    expect("errors", set(said), {("fail", "InvalidOrder")})


@pytest.mark.clause("VT-05", at="invoke_vtable_on_last_ref")
@pytest.mark.parametrize("poisoned", [False, True], ids=["healthy", "poisoned"])
def test_hooks_of_a_released_block_of_each_order(boot: Boot, poisoned: bool) -> None:
    """Frames around each power of two have hooks; those of the poisoned block's last frame run, too."""
    kernel = boot(ram=BLOCKS_RAM)
    both = kernel.vtable("both")
    for order in range(C.max_order + 1):
        block = kernel.buddy_alloc(order, "unmovable")
        first, hooked = block >> 12, boundary_indexes(order, thorough=True)
        for index in hooked:
            kernel.slots()["vtable"][first + index] = both
        if poisoned:
            kernel.slots()["guard"][first + (1 << order) - 1] = C.guard_poisoned
        kernel.call("vt.clear")
        kernel.release(block, order)
        unmapped = [("on_unmap", Paddr(block + (index << 12))) for index in hooked]
        wanted = [("on_last_ref", block), *unmapped, ("buddy", block)]
        expect_hooks(kernel, f"events when a block of order {order} is released", wanted, frame=block)


@pytest.mark.clause("GUARD-07", at="block_phys_has_poison_guard")
def test_poison_in_each_place_of_a_block_of_each_order_is_quarantined(boot: Boot) -> None:
    """Taken before any is freed, so that no block is taken twice."""
    kernel = boot(ram=BLOCKS_RAM)
    blocks: list[tuple[Paddr, int, int]] = []
    for order in range(C.max_order + 1):
        for index in boundary_indexes(order, thorough=False):
            blocks.append((kernel.buddy_alloc(order, "unmovable"), order, index))
    sick = [(block >> 12) + index for block, _, index in blocks]
    kernel.slots()["guard"][sick] |= np.uint32(C.guard_poisoned)
    kernel.call("buddy.log clear")
    outcomes(kernel, [f"release {block:#x} {order}" for block, order, _ in blocks])
    done = [f"{row['op']} {row['paddr']} order {row['order']}" for row in kernel.call("buddy.log").rows()]
    for got, (block, order, _) in zip(done, blocks, strict=True):
        wanted = f"quarantine {block:#x} order {order}"
        expect("what became of a poisoned block that was freed", got, wanted, frame=block)
    frames = sum(1 << order for _, order, _ in blocks)
    expect("frames counted in quarantine", kernel.stats()["quarantined"], frames)
    left = kernel.slots()["guard"][sick] & np.uint32(C.guard_poisoned)
    expect("poison left in them", set(left.tolist()), {C.guard_poisoned}, base=16, field="guard")
