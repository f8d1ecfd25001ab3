"""The reference model does what the contract says, operation by operation."""

from __future__ import annotations

import pytest

from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    PAGE_TABLE,
    USER_DATA,
    AllocOptions,
    Done,
    Fail,
    HookCall,
    Illegal,
    Model,
    ModelError,
    ModelSlot,
    Panic,
    PanicKind,
    custom,
)
from tests.support.just_booted import (
    BOTH,
    GIVEN,
    N_FRAMES,
    UNMAP,
    assert_healthy,
    just_booted,
    paddr_of,
)

UNUSED = C.refcount_unused
MOVABLE, UNMOVABLE = Migratetype.MOVABLE, Migratetype.UNMOVABLE


@pytest.fixture
def model() -> Model:
    return just_booted()


def test_boot_leaves_every_given_frame_free_in_the_largest_blocks(model: Model) -> None:
    assert_healthy(model)
    assert sum(zone.free for zone in model.buddy.zones) == sum(map(len, GIVEN))
    assert model.buddy.listed()["dma", UNMOVABLE, 11] == [2048]
    assert model.slot(Paddr(0)) == ModelSlot()


def test_allocation_predicts_every_field(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    assert model.slot(paddr) == ModelSlot(flags=C.flag_kernel | C.flag_allocated, refcount=1, generation=1)
    assert_healthy(model)


@pytest.mark.parametrize(
    ("calls", "flags", "zeroes"),
    [
        ((), C.flag_kernel | C.flag_allocated, True),
        ((False,), C.flag_kernel | C.flag_allocated, False),
        ((False, PAGE_TABLE), C.flag_kernel | C.flag_allocated, True),
        ((PAGE_TABLE, False), C.flag_kernel | C.flag_allocated, True),
        ((USER_DATA, False, True), C.flag_user | C.flag_allocated | C.flag_movable, True),
        ((custom(C.flag_cow), False), C.flag_cow | C.flag_allocated, False),
        ((PAGE_TABLE, custom(0), False), C.flag_allocated, False),
    ],
)
def test_builder_calls_decide_flags_and_zeroing(
    model: Model, calls: tuple[bool, ...], flags: int, zeroes: bool
) -> None:
    model.fill_payload(Paddr(1 << 12), 0xDE, N_FRAMES - 2)
    paddr = paddr_of(model.alloc(AllocOptions(calls)))
    assert model.slot(paddr).flags == flags
    assert model.payload[Pfn(paddr >> 12)] == (0 if zeroes else 0xDE)


def test_custom_movable_flags_ask_for_movable_memory() -> None:
    assert AllocOptions((custom(C.flag_movable),)).migratetype() is MOVABLE
    assert AllocOptions((custom(C.flag_user),)).migratetype() is UNMOVABLE


def test_first_allocation_fills_the_cache_with_a_batch(model: Model) -> None:
    model.alloc()
    assert len(model.buddy.cached_frames()) == 15


def test_release_puts_a_frame_into_the_cache_of_its_own_migratetype(model: Model) -> None:
    paddr = Paddr(paddr_of(model.alloc(AllocOptions((USER_DATA,)))))
    model.release(paddr, 0)
    pfn = paddr >> 12
    assert model.buddy.cached_frames()[-1] == (pfn, (pfn >> 11) % 2, 0)
    assert model.slot(paddr) == ModelSlot(
        flags=C.flag_free | (C.flag_movable if (pfn >> 11) % 2 else 0), refcount=UNUSED, generation=1
    )


def test_full_cache_flushes_its_oldest_batch(model: Model) -> None:
    for pfn in range(4096, 4096 + 65):
        assert model.buddy_alloc(0, UNMOVABLE, chosen=Paddr(pfn << 12)) == Done({"paddr": pfn << 12})
    for pfn in range(4096, 4096 + 65):
        model.buddy_free(Paddr(pfn << 12), 0)
    assert [pfn for pfn, *_ in model.buddy.cached_frames()] == list(range(4096 + 16, 4096 + 65))
    assert_healthy(model)


def test_drain_restores_the_population_of_boot(model: Model) -> None:
    before = {name: sorted(pfns) for name, pfns in model.buddy.listed().items()}
    taken = [(paddr_of(model.buddy_alloc(order, MOVABLE)), order) for order in (0, 3, 11, 1, 0, 7)]
    for paddr, order in taken:
        model.buddy_free(paddr, order)
    model.drain()
    assert {name: sorted(pfns) for name, pfns in model.buddy.listed().items()} == before


def test_exhaustion_then_refill_uses_every_frame(model: Model) -> None:
    outcome = model.alloc_all(AllocOptions((USER_DATA,)))
    assert outcome == Done({"n": sum(map(len, GIVEN))})
    assert model.alloc() == Fail("OutOfMemory")
    assert_healthy(model)
    model.release(Paddr(4096 << 12), 0)
    assert paddr_of(model.alloc()) == 4096 << 12


def test_order_above_the_largest_is_refused(model: Model) -> None:
    assert model.buddy_alloc(12, MOVABLE) == Fail("InvalidOrder")


def test_double_free_is_found_by_the_claim_that_would_alias(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.release(paddr, 0)
    model.release(paddr, 0)
    assert paddr_of(model.alloc()) == paddr
    before = model.slot(paddr)
    panic = model.alloc()
    assert panic == Panic(PanicKind.CLAIM)
    assert isinstance(panic, Panic)
    assert "ALLOC-10" in panic.clauses
    # Out of the cache it came as a free frame: the flags are the buddy's doing, not the claim's.
    assert model.slot(paddr) == before._replace(flags=C.flag_allocated)


def test_double_free_of_a_listed_block_is_found_at_once(model: Model) -> None:
    paddr = paddr_of(model.buddy_alloc(5, UNMOVABLE))
    model.buddy_free(paddr, 5)
    before = dict(model.slots.written())
    assert model.buddy_free(paddr, 5) == Panic(PanicKind.FREED_TWICE)
    assert model.slots.written() == before


def test_poisoned_frame_that_is_released_is_quarantined_with_its_block(model: Model) -> None:
    paddr = paddr_of(model.buddy_alloc(2, UNMOVABLE))
    model.mark_poisoned(Paddr(paddr + 0x3000))
    model.release(paddr, 2)
    pfn = paddr >> 12
    assert model.buddy.quarantined == set(range(pfn, pfn + 4))
    assert model.slot(Paddr(paddr + 0x3000)).guard == C.guard_poisoned
    assert model.slot(paddr).refcount == 0
    cached = {at for at, _, _ in model.buddy.cached_frames()}
    for at in frames_from(Pfn(pfn), 4):
        assert model.buddy.zone_of(at).block_covering(at) is None and at not in cached
    assert_healthy(model)


def test_frame_poisoned_while_cached_is_never_handed_out(model: Model) -> None:
    first = paddr_of(model.alloc())
    poisoned = model.buddy.cached_frames()[-1][0]
    model.mark_poisoned(Paddr(poisoned << 12))
    assert_healthy(model)
    second = paddr_of(model.alloc())
    assert second not in (first, poisoned << 12)
    assert model.buddy.quarantined == {poisoned}
    assert model.slots[poisoned].is_poisoned
    assert model.slots[poisoned].flags & C.flag_poisoned
    assert model.slots[poisoned].generation == 0
    assert_healthy(model)


def test_release_calls_hooks_in_address_order_then_the_buddy(model: Model) -> None:
    paddr = paddr_of(model.buddy_alloc(1, UNMOVABLE))
    model.set_vtable_bits(paddr, BOTH)
    model.set_vtable_bits(Paddr(paddr + 0x1000), UNMAP)
    model.release(paddr, 1)
    assert model.hook_calls == [
        HookCall("on_last_ref", paddr),
        HookCall("on_unmap", paddr),
        HookCall("on_unmap", Paddr(paddr + 0x1000)),
        HookCall("buddy", paddr),
    ]


def test_misaligned_vtable_has_no_hooks(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.set_vtable_bits(paddr, BOTH + 4)
    assert model.release(paddr, 0) == Done()
    assert model.hook_calls == [HookCall("buddy", paddr)]


def test_unknown_vtable_is_the_callers_mistake(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.set_vtable_bits(paddr, 0x8888)
    with pytest.raises(ModelError, match="0x8888"):
        model.release(paddr, 0)


@pytest.mark.parametrize("count", [UNUSED, UNUSED - 1])
def test_inc_ref_never_steps_onto_or_off_the_sentinel(model: Model, count: int) -> None:
    model.set_refcount(Paddr(4096), count)
    assert model.inc_ref(Paddr(4096)) == Panic(PanicKind.REFERENCE)
    assert model.slot(Paddr(4096)).refcount == count


@pytest.mark.parametrize("count", [UNUSED, 0])
def test_dec_ref_never_steps_onto_or_off_the_sentinel(model: Model, count: int) -> None:
    model.set_refcount(Paddr(4096), count)
    assert model.dec_ref(Paddr(4096)) == Panic(PanicKind.REFERENCE, {"v": count})
    assert model.slot(Paddr(4096)).refcount == count


def test_dec_ref_returns_the_count_before(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.inc_ref(paddr)
    assert model.dec_ref(paddr) == Done({"v": 2})
    assert model.dec_ref(paddr) == Done({"v": 1})


def test_cas_stores_only_on_a_match(model: Model) -> None:
    assert model.cas_refcount(Paddr(4096), 5, 6) == Fail("Err", {"v": UNUSED})
    assert model.cas_refcount(Paddr(4096), UNUSED, 6) == Done({"v": UNUSED})
    assert model.slot(Paddr(4096)).refcount == 6


def test_poison_and_guard_keep_each_others_bits(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    assert model.fetch_or_guard(paddr, C.guard_kernel_only) == Done({"v": 0})
    model.mark_poisoned(paddr)
    slot = model.slot(paddr)
    assert slot.guard == C.guard_kernel_only | C.guard_poisoned
    assert slot.flags == C.flag_allocated | C.flag_kernel | C.flag_poisoned
    model.reset_with_free_list_meta(paddr)
    assert model.slot(paddr).guard == C.guard_poisoned


def test_the_generation_of_a_frame_wraps(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.set_generation(paddr, 2**32 - 1)
    model.release(paddr, 0)
    assert paddr_of(model.alloc()) == paddr
    assert model.slot(paddr).generation == 0


def test_address_without_a_slot_panics(model: Model) -> None:
    assert model.inc_ref(Paddr(N_FRAMES << 12)) == Panic(PanicKind.OUT_OF_BOUNDS)


def test_block_that_the_buddy_never_owned_is_refused(model: Model) -> None:
    for paddr, order in ((0, 0), (0x3000, 1), (5008 << 12, 3), (5003 << 12, 0)):
        assert model.buddy_free(Paddr(paddr), order) == Panic(PanicKind.NOT_A_BLOCK)


def test_torn_list_is_a_panic_before_anything_changes(model: Model) -> None:
    for listed in (2048, 6144, 8192):
        model.set_flags(Paddr(listed << 12), 0)
    before = dict(model.slots.written())
    assert model.buddy_alloc(11, UNMOVABLE) == Panic(PanicKind.CORRUPT_LIST)
    assert model.slots.written() == before


# ---- a guest with another policy --------------------------------------------------------------------------


def test_chosen_frame_is_followed_where_it_is_legal(model: Model) -> None:
    assert model.alloc(chosen=Paddr(4999 << 12)) == Done({"paddr": 4999 << 12})
    assert model.slots[Pfn(4999)].refcount == 1
    assert_healthy(model)


def test_chosen_block_splits_the_block_that_it_lies_in(model: Model) -> None:
    chosen = Paddr((2048 + 24) << 12)
    assert model.buddy_alloc(3, UNMOVABLE, chosen=chosen) == Done({"paddr": chosen})
    assert model.slots[Pfn(2048)].order == 4
    assert model.slots[Pfn(2048 + 16)].order == 3
    assert_healthy(model)


@pytest.mark.parametrize(
    ("paddr", "reason"),
    [
        (0, "no block"),
        (5003 << 12, "no block"),
        ((4999 << 12) + 1, "no block"),
        (N_FRAMES << 12, "no block"),
    ],
)
def test_chosen_frame_outside_the_buddys_memory_is_illegal(model: Model, paddr: Paddr, reason: str) -> None:
    outcome = model.alloc(chosen=paddr)
    assert isinstance(outcome, Illegal)
    assert reason in outcome.reason
    assert outcome.clauses == ("ALLOC-14",)


def test_chosen_frame_that_is_held_or_poisoned_is_illegal(model: Model) -> None:
    held = paddr_of(model.alloc())
    poisoned = Paddr(model.buddy.cached_frames()[0][0] << 12)
    model.mark_poisoned(poisoned)
    for paddr in (held, poisoned):
        assert isinstance(model.alloc(chosen=paddr), Illegal)


# ---- faults to order --------------------------------------------------------------------------------------


def test_frame_offered_twice_is_refused_by_the_claim(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.buddy.faults.next_pfn = paddr_to_pfn(paddr)
    assert model.alloc() == Panic(PanicKind.CLAIM)


def test_offered_frame_inside_a_block_leaves_the_rest_listed(model: Model) -> None:
    model.buddy.faults.next_pfn = Pfn(4099)
    assert paddr_of(model.alloc()) == 4099 << 12
    assert_healthy(model)


def test_refusals_are_counted_down(model: Model) -> None:
    model.buddy.faults.refusals = 1
    assert model.alloc() == Fail("OutOfMemory")
    assert isinstance(model.alloc(), Done)


def test_free_without_a_stamp_leaves_the_count(model: Model) -> None:
    paddr = paddr_of(model.alloc())
    model.buddy.faults.missing_stamps = 1
    model.release(paddr, 0)
    assert model.slot(paddr).refcount == 1
    assert model.alloc() == Panic(PanicKind.CLAIM)
