"""Whatever a user does with the model, its memory stays healthy, and nothing is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from frame_harness.base.units import Paddr, Pfn
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.memory_state import Migratetype, pfn_ranges
from frame_harness.frame_metadata.model import (
    KERNEL_DATA,
    PAGE_TABLE,
    USER_DATA,
    AllocOptions,
    Done,
    ExpectedTable,
    Fail,
    Model,
    ModelResult,
    Vtable,
    booted_model,
    custom,
)
from frame_harness.frame_metadata.model.expected import expected_state
from tests.support.synthetic import SLOT

N_FRAMES = 6000
# Little memory in many pieces, so that exhaustion is near.
GIVEN = [range(3, 300), range(2041, 2313), range(2560, 2817), range(4090, 4700)]
OFF_LIMITS = pfn_ranges([(0, 3), (300, 2041), (2313, 2560), (2817, 4090), (4700, N_FRAMES)])
ZONES = (
    ("dma", Pfn(0), Pfn(2048)),
    ("normal", Pfn(2048), Pfn(4096)),
    ("highmem", Pfn(4096), Pfn(1 << 52)),
)
VTABLES = {0x1000: Vtable(True, True), 0x2000: Vtable(False, True)}
PURPOSES = st.sampled_from([KERNEL_DATA, USER_DATA, PAGE_TABLE, custom(C.flag_cow), custom(C.flag_movable)])
FRAMES = st.sampled_from([pfn for part in GIVEN for pfn in part])
BOOTED = booted_model(N_FRAMES, [range(N_FRAMES)], GIVEN, zones=ZONES, vtables=VTABLES)


class WellBehavedUser(RuleBasedStateMachine):
    """Frees each block once, keeps its hands off what the buddy owns but for poison."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Model = BOOTED.copied()
        self.table = ExpectedTable(self.model, SLOT)
        self.past: Past | None = None

    blocks = Bundle("blocks")
    frames = Bundle("frames")

    @rule(target=frames, calls=st.lists(st.booleans() | PURPOSES, max_size=3))
    def alloc(self, calls: list[bool]) -> object:
        generations = self.table.slots["generation"].copy()
        outcome = self.model.alloc(AllocOptions(tuple(calls)))
        self.table.follow()
        changed = np.flatnonzero(self.table.slots["generation"] != generations)
        if isinstance(outcome, Fail):
            assert not len(changed)
            return multiple()
        paddr = self._paddr(outcome)
        assert changed.tolist() == [paddr >> 12]
        return paddr

    @rule(target=blocks, order=st.integers(0, 11), migratetype=st.sampled_from(Migratetype))
    def buddy_alloc(self, order: int, migratetype: Migratetype) -> object:
        outcome = self.model.buddy_alloc(order, migratetype)
        return multiple() if isinstance(outcome, Fail) else (self._paddr(outcome), order)

    @rule(paddr=consumes(frames))
    def release_frame(self, paddr: Paddr) -> None:
        assert isinstance(self.model.release(paddr, 0), Done)

    @rule(block=consumes(blocks), through_hooks=st.booleans())
    def free_block(self, block: tuple[Paddr, int], through_hooks: bool) -> None:
        give_back = self.model.release if through_hooks else self.model.buddy_free
        assert isinstance(give_back(*block), Done)

    @rule(
        paddr=frames, bits=st.sampled_from([0, 0x1000, 0x2000, 0x1004]), generation=st.integers(0, 2**32 - 1)
    )
    def write_held_frame(self, paddr: Paddr, bits: int, generation: int) -> None:
        self.model.set_vtable_bits(paddr, bits)
        self.model.fetch_or_guard(paddr, C.guard_kernel_only)
        self.model.set_meta_aux(paddr, generation)

    @rule(paddr=frames, steps=st.lists(st.booleans(), max_size=4))
    def refer(self, paddr: Paddr, steps: list[bool]) -> None:
        for more in steps:
            before = self.model.slot(paddr).refcount
            outcome = self.model.inc_ref(paddr) if more else self.model.dec_ref(paddr)
            after = self.model.slot(paddr).refcount
            assert after != C.refcount_unused
            assert after - before == ((1 if more else -1) if isinstance(outcome, Done) else 0)

    @rule(pfn=FRAMES)
    def poison(self, pfn: Pfn) -> None:
        self.model.mark_poisoned(Paddr(pfn << 12))

    @rule()
    def drain(self) -> None:
        self.model.drain()
        assert not self.model.buddy.cached_frames()

    @rule()
    def exhaust(self) -> None:
        held = self.model.copied()
        assert isinstance(self.model.alloc_all(), Done)
        self._assert_healthy()
        self.model, self.table = held, ExpectedTable(held, SLOT)

    @staticmethod
    def _paddr(outcome: ModelResult) -> Paddr:
        assert isinstance(outcome, Done), outcome
        return Paddr(outcome.values["paddr"])

    @invariant()
    def memory_is_healthy(self) -> None:
        self.past = self._assert_healthy()

    def _assert_healthy(self) -> Past:
        state = expected_state(self.model, self.table, pfn_ranges([(0, N_FRAMES)]), OFF_LIMITS)
        report = INVARIANTS.check_all(state, self.past)
        assert not report.violated, report.text
        return Past(report.past.generation.copy(), report.past.poisoned)


TestWellBehavedUser = WellBehavedUser.TestCase
TestWellBehavedUser.settings = settings(max_examples=15, stateful_step_count=30)
