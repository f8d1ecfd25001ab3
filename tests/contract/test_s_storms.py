"""Contract kind S, at random: several CPUs at the same frames, as fast as they can."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frame_harness.concurrency.smp import ProgramResult
from frame_harness.concurrency.storms import run_storm
from frame_harness.frame_guest.kernel import Boot
from frame_harness.frame_storms.table import STORMS
from frame_harness.session.plugin import STORM

pytestmark = [pytest.mark.one_machine, pytest.mark.level("storm")]

CPUS = 2
RunStorm = Callable[[str], ProgramResult]


@pytest.fixture
def storm(boot: Boot, request: pytest.FixtureRequest) -> RunStorm:
    """Run one storm in a guest of its own and judge what is left; memory is as sound as it was."""
    seconds = float(request.config.getoption("--storm-seconds"))

    def run(name: str) -> ProgramResult:
        request.node.stash[STORM] = name
        return run_storm(STORMS[name], boot(cpus=CPUS), seconds=seconds)

    return run


@pytest.mark.clause("REF-04", at="MetaSlot::inc_ref")
def test_balanced_references_end_where_they_began(storm: RunStorm) -> None:
    storm("balanced references")


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_whoever_claims_a_frame_has_it_alone(storm: RunStorm) -> None:
    storm("claims")


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_each_round_of_claims_has_one_winner(storm: RunStorm) -> None:
    storm("claim rounds")


@pytest.mark.clause("REF-06", at="MetaSlot::dec_ref")
def test_one_cpu_drops_the_last_reference(storm: RunStorm) -> None:
    storm("last references")


@pytest.mark.clause("ALLOC-14", at="FrameAllocOptions::allocate")
def test_no_frame_is_in_two_hands(storm: RunStorm) -> None:
    storm("frames and blocks")


@pytest.mark.clause("GEN-05", at="MetaSlot::note_new_allocation_epoch")
def test_generations_grow_by_the_allocations_of_all_cpus(storm: RunStorm) -> None:
    storm("single frames")


@pytest.mark.clause("ALLOC-04", at="FrameAllocOptions::allocate")
def test_a_zeroed_frame_is_zero_whatever_other_cpus_allocate(storm: RunStorm) -> None:
    storm("zeroed frames")


@pytest.mark.clause("ALLOC-02", at="FrameAllocOptions::allocate")
def test_the_flags_of_a_frame_are_those_that_its_own_cpu_asked_for(storm: RunStorm) -> None:
    storm("own flags")


@pytest.mark.clause("FREE-03", "FREE-04", "FREE-05", "FREE-06", at="MetaSlot::set_next")
def test_free_lists_are_sound_after_a_storm_of_blocks(storm: RunStorm) -> None:
    storm("large blocks")


@pytest.mark.clause("VT-05", at="invoke_vtable_on_last_ref")
def test_hooks_are_called_once_on_every_cpu(storm: RunStorm) -> None:
    storm("hooks")


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_poison_costs_no_other_flag(storm: RunStorm) -> None:
    storm("poison")


@pytest.mark.clause("ALLOC-16", at="FrameAllocOptions::allocate")
def test_a_count_of_one_is_a_whole_life(storm: RunStorm) -> None:
    storm("lives")
