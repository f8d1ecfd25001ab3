"""A model of a small kernel that has just booted, and what tests of it have in common."""

from __future__ import annotations

from frame_harness.base.units import Paddr
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.memory_state import MemoryState, pfn_ranges
from frame_harness.frame_metadata.model import (
    Done,
    ExpectedTable,
    Model,
    ModelResult,
    Vtable,
    booted_model,
    expected_state,
)
from tests.support.synthetic import SLOT

N_FRAMES = 12288
# Frame 0, an island of odd alignment and the partial last frame are not the buddy's.
GIVEN = [range(1, 5003), range(5011, N_FRAMES - 1)]
RAM = [range(N_FRAMES)]
BOTH, UNMAP, LAST_REF = 0x1000, 0x2000, 0x3000
VTABLES = {BOTH: Vtable(True, True), UNMAP: Vtable(False, True), LAST_REF: Vtable(True, False)}


def just_booted() -> Model:
    """All that the buddy was given is free."""
    return booted_model(N_FRAMES, RAM, GIVEN, vtables=VTABLES)


def paddr_of(outcome: ModelResult) -> Paddr:
    assert isinstance(outcome, Done), outcome
    return Paddr(outcome.values["paddr"])


def state_of(model: Model) -> MemoryState:
    off_limits = pfn_ranges([(0, 1), (5003, 5011), (N_FRAMES - 1, N_FRAMES)])
    return expected_state(model, ExpectedTable(model, SLOT), pfn_ranges([(0, N_FRAMES)]), off_limits)


def assert_healthy(model: Model) -> None:
    report = INVARIANTS.check_all(state_of(model))
    assert not report.violated, report.text
