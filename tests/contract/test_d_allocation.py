"""Contract section D: allocation of a frame, step by step and after it failed."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.expecting import expect_field, refusal_words
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.constants import C
from frame_harness.guest.checks import expect, expect_panic
from frame_harness.guest.errors import AllocFailed, SubjectPanic

ALLOCATED, KERNEL, USER, MOVABLE = 1 << 8, 1 << 10, 1 << 11, 1 << 13
UNUSED = 2**32 - 1
PURPOSE_FLAGS = [
    ("pagetable", KERNEL | ALLOCATED),
    ("kernel", KERNEL | ALLOCATED),
    ("user", USER | ALLOCATED | MOVABLE),
    ("custom:0", ALLOCATED),
    ("custom:0x7", 0x7 | ALLOCATED),
    ("custom:0xfffffeff", 0xFFFF_FFFF),
]
MIGRATETYPES = [
    ("pagetable", "unmovable"),
    ("kernel", "unmovable"),
    ("user", "movable"),
    ("custom:0", "unmovable"),
    ("custom:0x2000", "movable"),
    ("custom:0xdfff", "unmovable"),
]


def unclaimed(kernel: Kernel, order: int = 2) -> Paddr:
    """A frame that the buddy gave out and nobody claimed, with neighbors on both sides: sentinel in place."""
    return Paddr(kernel.buddy_alloc(order, "unmovable") + (4096 if order else 0))


@pytest.mark.clause("ALLOC-01", at="FrameAllocOptions::new")
@pytest.mark.parametrize("default", [False, True], ids=["new", "default"])
def test_defaults_are_zeroed_kernel_data(shared_kernel: Kernel, default: bool) -> None:
    paddr = unclaimed(shared_kernel)
    shared_kernel.payload(paddr)[:] = 0xDE
    shared_kernel.offer(paddr)
    expect("frame handed out", shared_kernel.alloc(default=default), paddr, base=16)
    expect(
        "flags",
        shared_kernel.slot(paddr).get_flags(),
        KERNEL | ALLOCATED,
        base=16,
        frame=paddr,
        field="flags",
    )
    expect(
        "non-zero bytes in the payload",
        int(np.count_nonzero(shared_kernel.payload(paddr))),
        0,
        frame=paddr,
        field="payload",
    )


def alloc_with_old_flags(kernel: Kernel, purpose: str) -> tuple[Paddr, Paddr]:
    """Offer a frame with every flag bit of an earlier life set, POISONED too; return it and the one taken."""
    paddr = unclaimed(kernel)
    kernel.slot(paddr).poke_field("flags", 0xFFFF_FFFF)
    kernel.offer(paddr)
    return paddr, kernel.alloc(purpose=purpose)


@pytest.mark.clause("ALLOC-02", at="FrameAllocOptions::allocate")
def test_purpose_decides_all_flags_of_the_new_life(shared_kernel: Kernel) -> None:
    for purpose, flags in PURPOSE_FLAGS:
        _, paddr = alloc_with_old_flags(shared_kernel, purpose)
        expect(
            f"flags after allocation for {purpose}",
            shared_kernel.slot(paddr).get_flags(),
            flags,
            base=16,
            frame=paddr,
            field="flags",
        )


@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
@pytest.mark.parametrize("purpose", [p for p, _ in PURPOSE_FLAGS])
def test_flags_of_an_earlier_life_poison_no_frame(shared_kernel: Kernel, purpose: str) -> None:
    """Whether a frame is poisoned is its guard's business, which is clear."""
    paddr, taken = alloc_with_old_flags(shared_kernel, purpose)
    expect(
        "frame handed out, of one whose flags alone say poisoned",
        taken,
        paddr,
        base=16,
        frame=paddr,
        field="flags",
    )


@pytest.mark.clause("ALLOC-03", at="FramePurpose::requires_zero")
@pytest.mark.parametrize("purpose", [p for p, _ in PURPOSE_FLAGS])
def test_only_page_tables_require_zero(shared_kernel: Kernel, purpose: str) -> None:
    expect(
        f"requires_zero of {purpose}",
        shared_kernel.call("purpose.zero", purpose)["v"],
        int(purpose == "pagetable"),
    )


@pytest.mark.clause("ALLOC-04", at="FrameAllocOptions::allocate")
@pytest.mark.parametrize("dirt", ["0xDE", "0xFF", "random"])
def test_zeroed_frame_is_all_zero_with_its_neighbors_untouched(shared_kernel: Kernel, dirt: str) -> None:
    for purpose in ("pagetable", "kernel", "user", "custom:0"):
        paddr = unclaimed(shared_kernel)
        around = shared_kernel.ram.view(Paddr(paddr - 4096), 3 * 4096)
        around[:] = (
            np.random.default_rng(7).integers(1, 256, around.size) if dirt == "random" else int(dirt, 16)
        )
        before = around.copy()
        shared_kernel.offer(paddr)
        shared_kernel.alloc(purpose=purpose, zeroed=True)
        expect(
            "non-zero bytes of a zeroed frame",
            int(np.count_nonzero(around[4096:8192])),
            0,
            frame=paddr,
            field="payload",
        )
        expect(
            "whether the frame below kept its bytes",
            bool((around[:4096] == before[:4096]).all()),
            True,
            frame=Paddr(paddr - 4096),
        )
        expect(
            "whether the frame above kept its bytes",
            bool((around[8192:] == before[8192:]).all()),
            True,
            frame=Paddr(paddr + 4096),
        )


@pytest.mark.clause("ALLOC-04", "ALLOC-06", at="FrameAllocOptions::allocate")
@pytest.mark.parametrize("at", [0, 8, 64, 2048, 4095])
def test_a_frame_with_a_single_byte_that_is_not_zero_is_zeroed(shared_kernel: Kernel, at: int) -> None:
    """A look at a part of the frame tells nothing about the rest."""
    for options in ({"purpose": "pagetable"}, {"zeroed": False, "purpose": "pagetable"}, {"purpose": "user"}):
        paddr = unclaimed(shared_kernel)
        payload = shared_kernel.payload(paddr)
        payload[:] = 0
        payload[at] = 0xFF
        shared_kernel.offer(paddr)
        shared_kernel.alloc(**options)
        expect(f"byte {at} of a zeroed frame", int(payload[at]), 0, frame=paddr, field="payload")


@pytest.mark.clause("ALLOC-05", at="FrameAllocOptions::allocate")
def test_unzeroed_frame_keeps_its_payload(shared_kernel: Kernel) -> None:
    for purpose in ("kernel", "user", "custom:0"):
        paddr = unclaimed(shared_kernel)
        payload = shared_kernel.payload(paddr)
        payload[:] = np.random.default_rng(11).integers(0, 256, payload.size)
        before = payload.copy()
        shared_kernel.offer(paddr)
        shared_kernel.alloc(purpose=purpose, zeroed=False)
        expect(
            "bytes that changed in the payload",
            int(np.count_nonzero(payload != before)),
            0,
            frame=paddr,
            field="payload",
        )


def expect_no_stale_bytes(kernel: Kernel, how: str, **builder_calls: bool | str) -> None:
    """Require that a page table that is asked for so holds nothing of what its frame held before."""
    paddr = unclaimed(kernel)
    kernel.payload(paddr)[:] = 0xDE
    kernel.offer(paddr)
    kernel.alloc(default=False, **builder_calls)
    stale = int(np.count_nonzero(kernel.payload(paddr)))
    expect(f"stale bytes in a page table after {how}", stale, 0, frame=paddr, field="payload")


@pytest.mark.clause("ALLOC-06", at="FrameAllocOptions::purpose")
def test_page_table_is_zeroed_though_zeroed_false_came_first(kernel: Kernel) -> None:
    expect_no_stale_bytes(kernel, ".zeroed(false).purpose(PageTable)", zeroed=False, purpose="pagetable")


@pytest.mark.clause("ALLOC-07", at="FrameAllocOptions::zeroed")
def test_page_table_is_zeroed_though_zeroed_false_came_last(kernel: Kernel) -> None:
    expect_no_stale_bytes(kernel, ".purpose(PageTable).zeroed(false)", purpose="pagetable", zeroed=False)


@pytest.mark.clause("ALLOC-08", at="FrameAllocOptions::allocate")
def test_buddy_is_asked_for_one_frame_of_the_right_migratetype(kernel: Kernel) -> None:
    for purpose, migratetype in MIGRATETYPES:
        kernel.call("buddy.log clear")
        paddr = kernel.alloc(purpose=purpose)
        asked = [
            (r["order"], r["mt"], int(r["paddr"], 0))
            for r in kernel.call("buddy.log").rows()
            if r["op"] == "alloc"
        ]
        expect(f"requests to the buddy for {purpose}", asked, [("0", migratetype, paddr)], base=16)


@pytest.mark.clause("ALLOC-08", at="FrameAllocOptions::allocate")
def test_buddy_is_asked_for_the_same_again_where_a_poisoned_frame_is_passed_over(kernel: Kernel) -> None:
    for purpose, migratetype in MIGRATETYPES:
        paddr = kernel.buddy_alloc(0, migratetype)
        kernel.slots()["guard"][paddr >> 12] = C.guard_poisoned
        kernel.offer(paddr)
        kernel.call("buddy.log clear")
        if kernel.request(f"alloc new purpose={purpose}").status == "panic":
            continue  # which GUARD-08 is about
        rows = kernel.call("buddy.log").rows()
        asked = {(row["order"], row["mt"]) for row in rows if row["op"] == "alloc"}
        expect(f"requests to the buddy for {purpose}", asked, {("0", migratetype)})


@pytest.mark.clause("ALLOC-09", at="FrameAllocOptions::allocate")
def test_success_starts_a_new_life_in_every_field(kernel: Kernel) -> None:
    """The slot arrives with a pattern in every byte; what the contract does not name must stay as it was."""
    paddr = unclaimed(kernel)
    slot = kernel.slot(paddr)
    slot.poke(0, bytes(range(0x40, 0x80)))
    slot.poke_field("refcount", UNUSED)
    slot.poke_field("guard", 1)
    slot.poke_field("flags", 0x5B5A_4958)  # not POISONED: what that means is for GUARD-08
    before = kernel.slots()[paddr >> 12].copy()
    kernel.offer(paddr)
    expect("frame handed out", kernel.alloc(purpose="kernel"), paddr, base=16)
    after = kernel.slots()[paddr >> 12]
    wanted = before.copy()
    wanted["flags"], wanted["order"], wanted["refcount"] = KERNEL | ALLOCATED, 0, 1
    wanted["vtable"], wanted["guard"], wanted["generation"] = 0, 0, before["generation"] + 1
    for field in after.dtype.names:
        expect(
            f"{field} after a successful allocation",
            after[field].tolist(),
            wanted[field].tolist(),
            base=16,
            frame=paddr,
            field=field,
        )
    expect("all 64 bytes of the slot", after.tobytes().hex(), wanted.tobytes().hex(), frame=paddr)


@pytest.mark.clause("ALLOC-09", at="FrameAllocOptions::allocate")
def test_success_changes_no_slot_but_its_own(kernel: Kernel) -> None:
    paddr = unclaimed(kernel)
    before = kernel.slots().copy()
    kernel.offer(paddr)
    kernel.alloc()
    changed = np.flatnonzero(kernel.slots() != before)
    expect("slots changed by one allocation", [hex(int(p) << 12) for p in changed], [hex(paddr)])


@pytest.mark.clause("ALLOC-10", at="FrameAllocOptions::allocate")
def test_a_frame_without_the_sentinel_is_refused_with_a_panic(kernel: Kernel) -> None:
    for found in (0, 1, 2, 0x7FFF_FFFF, UNUSED - 1):
        paddr = unclaimed(kernel)
        kernel.slot(paddr).poke_field("refcount", found)
        kernel.offer(paddr)
        with expect_panic(
            f"allocation of a frame whose refcount is {found:#x}",
            *refusal_words(paddr, found),
        ):
            kernel.alloc()
        expect_count("refcount after the refused claim", kernel, paddr, found)


@pytest.mark.clause("ALLOC-10", at="FrameAllocOptions::allocate")
def test_a_frame_in_use_that_is_poisoned_keeps_its_count_when_the_buddy_offers_it(kernel: Kernel) -> None:
    """Poison is no reason to give a frame back that somebody holds: refused or passed over, it stays live."""
    for found in (1, 2):
        paddr = unclaimed(kernel)
        kernel.slot(paddr).poke_field("refcount", found)
        kernel.slot(paddr).mark_poisoned()
        kernel.offer(paddr)
        with suppress(SubjectPanic):
            kernel.alloc()
        expect_count("refcount of a poisoned frame in use that was offered", kernel, paddr, found)


def expect_count(what: str, kernel: Kernel, paddr: Paddr, count: int) -> None:
    """Require a frame's count in guest RAM, where no method of the subject stands between."""
    expect_field(kernel, paddr, "refcount", count, what, base=16)


@pytest.mark.clause("ALLOC-11", at="FrameAllocOptions::allocate")
def test_out_of_memory_is_an_error_that_changes_nothing(kernel: Kernel) -> None:
    kernel.inject("buddy.refuse", 1)
    before = kernel.slots().copy()
    with pytest.raises(AllocFailed) as refused:
        kernel.alloc()
    expect("error of a refused allocation", refused.value.kind, "OutOfMemory")
    expect("slots changed by a refused allocation", np.flatnonzero(kernel.slots() != before).tolist(), [])


@pytest.mark.clause("ALLOC-11", at="FrameAllocOptions::allocate")
def test_each_request_that_the_buddy_refuses_is_an_error_of_its_caller(kernel: Kernel) -> None:
    """An allocation that asks once more, for other memory, is served behind the caller's back."""
    for purpose, migratetype in MIGRATETYPES:
        for refusals in (1, 2):
            kernel.inject("buddy.refuse", refusals)
            asked = [kernel.request(f"alloc new purpose={purpose}").status for _ in range(refusals + 1)]
            what = f"allocations for {purpose} ({migratetype}) of which the buddy refuses {refusals}"
            expect(what, asked, [*["fail"] * refusals, "ok"])


@pytest.mark.level("sequence")
@pytest.mark.clause("ALLOC-11", at="FrameAllocOptions::allocate")
def test_after_the_last_frame_one_free_makes_the_next_allocation_succeed(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    taken = kernel.call("alloc.all", "new", "zeroed=0")["n"]
    expect("frames allocated until nothing was left", taken > 0, True)
    before = kernel.slots().copy()
    with pytest.raises(AllocFailed) as refused:
        kernel.alloc()
    expect("error when every frame is taken", refused.value.kind, "OutOfMemory")
    expect("slots changed by it", np.flatnonzero(kernel.slots() != before).tolist(), [])
    kernel.release(paddr)
    expect("frame handed out after one free", kernel.alloc(), paddr, base=16)


@pytest.mark.level("sequence")
@pytest.mark.clause("ALLOC-13", at="FrameAllocOptions::allocate")
def test_a_frame_from_the_cpu_cache_passes_the_same_claim(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.release(paddr)
    expect("whether the freed frame is in the CPU cache", paddr in kernel.cached_frames(), True, frame=paddr)
    generation = int(kernel.slots()[paddr >> 12]["generation"])
    kernel.call("buddy.log clear")
    again = kernel.alloc()
    served = [row["cached"] for row in kernel.call("buddy.log").rows() if row["op"] == "alloc"]
    expect("where the request was served, and the frame", (served, again), (["1"], paddr))
    slot = kernel.slots()[paddr >> 12]
    expect(
        "refcount and generation of a frame from the cache",
        (int(slot["refcount"]), int(slot["generation"])),
        (1, generation + 1),
        frame=paddr,
    )


@pytest.mark.level("sequence")
@pytest.mark.parametrize(
    "promise",
    [
        pytest.param(id_, marks=pytest.mark.clause(id_, at="FrameAllocOptions::allocate"))
        for id_ in ("ALLOC-10", "ALLOC-13")
    ],
)
def test_a_live_frame_in_the_cpu_cache_is_refused(kernel: Kernel, promise: str) -> None:
    paddr = kernel.alloc()
    kernel.release(paddr)
    kernel.slot(paddr).poke_field("refcount", 1)
    with expect_panic("allocation of a live frame from the CPU cache", f"{paddr:#x}"):
        kernel.alloc()


def offer_a_live_frame(kernel: Kernel) -> tuple[Paddr, np.ndarray, np.void]:
    """A live user frame with data and flags, offered to a second allocation, which must panic."""
    paddr = kernel.alloc(purpose="user")
    payload = kernel.payload(paddr)
    payload[:] = np.random.default_rng(3).integers(1, 256, payload.size)
    kernel.slot(paddr).set_flags(USER | ALLOCATED | MOVABLE | 0x5)
    before, slot = payload.copy(), kernel.slots()[paddr >> 12].copy()
    kernel.offer(paddr)
    with expect_panic("second allocation of a live frame", f"{paddr:#x}"):
        kernel.alloc(purpose="kernel")
    return paddr, before, slot


@pytest.mark.clause("ALLOC-15", at="FrameAllocOptions::allocate")
def test_the_rejected_claim_leaves_the_live_payload_alone(kernel: Kernel) -> None:
    paddr, before, _ = offer_a_live_frame(kernel)
    expect(
        "bytes of the live frame that the rejected allocation overwrote",
        int(np.count_nonzero(kernel.payload(paddr) != before)),
        0,
        frame=paddr,
        field="payload",
    )


@pytest.mark.clause("ALLOC-15", at="FrameAllocOptions::allocate")
def test_the_rejected_claim_leaves_the_live_slot_alone(kernel: Kernel) -> None:
    paddr, _, before = offer_a_live_frame(kernel)
    after = kernel.slots()[paddr >> 12]
    for field in after.dtype.names:
        expect(
            f"{field} of the live frame after the rejected allocation",
            after[field].tolist(),
            before[field].tolist(),
            base=16,
            frame=paddr,
            field=field,
        )
