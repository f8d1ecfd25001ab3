"""Proves that the work of a core is counted in instructions, and that too much of it is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.memory_core.cores import COUNTING, SMALL
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.maps import MapRegion, MemoryMap
from frame_harness.memory_core.work import require_counting
from tests.red.test_core_mutants import core_guest
from tests.support.core_mutants import CORE_MUTANTS, TREE, broken_tree
from tests.support.doors import check
from tests.support.same_place import same_place

MAP = MemoryMap("", (MapRegion(0x1000000, 0x1000000),))
REQUESTS = ("work.scatter 0 unmovable any", "work.alloc 0 unmovable any 600", "work.free", "work.merge 600")
WALKS = next(bug for bug in CORE_MUTANTS if bug.name == "a free looks for its block in the whole list")


@pytest.fixture
def counting() -> Iterator[CoreGuest]:
    with core_guest(TREE, COUNTING, counts=True) as core:
        yield core


@pytest.mark.parametrize("rounds", [1, 10, 12_345])
def test_a_loop_costs_two_instructions_a_round(counting: CoreGuest, rounds: int) -> None:
    more = counting.guest.call("work.loop", rounds + 100)["total"]
    assert more - counting.guest.call("work.loop", rounds)["total"] == 200


def test_a_guest_that_counts_instructions_is_accepted(counting: CoreGuest) -> None:
    require_counting(counting)


def test_a_guest_whose_counter_counts_time_is_refused() -> None:
    with core_guest(TREE, SMALL) as core, pytest.raises(HarnessError, match="instruction counter"):
        require_counting(core)


def test_the_same_requests_cost_the_same_in_two_guests(counting: CoreGuest) -> None:
    def told() -> list[str]:
        started = counting.start(MAP, "work.start").shown
        return [started, *(counting.request(line).shown for line in REQUESTS)]

    one, again = told(), told()
    counting.renew()
    assert told() == one == again
    assert all(reply.startswith("ok ") for reply in one)


def test_work_that_grows_with_free_memory_is_shown_again_by_its_case(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), WALKS)
    case = "0x1000000..0x5000000 free; work of order 1 unmovable"
    result = check(tmp_path, "--kernel-src", tree, "--profile", "release", "--case", case)
    assert (result.status, result.violated) == (ExitCode.FAIL, {"CORE-24"}), result.out
    [finding] = result.report["findings"]
    assert finding["at"].startswith(f"{tree}/src/memory/buddy.rs:") and finding["function"] == "buddy::free"
    assert "instructions" in finding["expected"] and "instructions" in finding["got"]
    assert finding["reproduce"].endswith(f"--case '{case}'")


def test_a_sound_core_keeps_its_bounds_in_a_case(tmp_path: Path) -> None:
    case = "0x1000000..0x5000000 free; work of boot"
    result = check(tmp_path, "--kernel-src", TREE, "--profile", "release", "--case", case, "-k", "CORE-23")
    assert result.status == ExitCode.PASS, result.out
