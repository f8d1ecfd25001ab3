"""Contract kind S, at random: several CPUs at the same frames, as fast as they can."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frame_harness.concurrency.smp import ProgramResult
from frame_harness.concurrency.storms import STORMS, run_storm
from frame_harness.guest.kernel import Boot
from frame_harness.session.plugin import STORM

pytestmark = [pytest.mark.one_machine, pytest.mark.level("storm")]

CPUS = 2
Rage = Callable[[str], ProgramResult]


@pytest.fixture
def storm(boot: Boot, request: pytest.FixtureRequest) -> Rage:
    """Run one storm in a guest of its own and judge what is left; memory is as sound as it was."""
    seconds = float(request.config.getoption("--storm-seconds"))

    def let_rage(name: str) -> ProgramResult:
        request.node.stash[STORM] = name
        return run_storm(STORMS[name], boot(cpus=CPUS), seconds=seconds)

    return let_rage


@pytest.mark.clause("REF-04", at="MetaSlot::inc_ref")
def test_balanced_references_end_where_they_began(storm: Rage) -> None:
    storm("balanced references")


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_whoever_claims_a_frame_has_it_alone(storm: Rage) -> None:
    storm("claims")


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_each_round_of_claims_has_one_winner(storm: Rage) -> None:
    storm("claim rounds")


@pytest.mark.clause("REF-06", at="MetaSlot::dec_ref")
def test_one_cpu_drops_the_last_reference(storm: Rage) -> None:
    storm("last references")


@pytest.mark.clause("ALLOC-14", at="FrameAllocOptions::allocate")
def test_no_frame_is_in_two_hands(storm: Rage) -> None:
    storm("frames and blocks")


@pytest.mark.clause("GEN-05", at="MetaSlot::note_new_allocation_epoch")
def test_generations_grow_by_the_allocations_of_all_cpus(storm: Rage) -> None:
    storm("single frames")


@pytest.mark.clause("FREE-03", "FREE-04", "FREE-05", "FREE-06", at="MetaSlot::set_next")
def test_free_lists_are_sound_after_a_storm_of_blocks(storm: Rage) -> None:
    storm("large blocks")


@pytest.mark.clause("VT-05", at="invoke_vtable_on_last_ref")
def test_hooks_are_called_once_on_every_cpu(storm: Rage) -> None:
    storm("hooks")


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_poison_costs_no_other_flag(storm: Rage) -> None:
    storm("poison")


@pytest.mark.clause("ALLOC-16", at="FrameAllocOptions::allocate")
def test_a_count_of_one_is_a_whole_life(storm: Rage) -> None:
    storm("lives")
