"""Checks are assigned run by run, and a run is prepared once."""

from __future__ import annotations

from frame_harness.judge.evidence import LayoutEvidence, RunKey, SelftestEvidence, Witness
from frame_harness.session.preflight import Facts
from frame_harness.session.schedule import Assignment, Schedule, Unit

DEV, RELEASE = RunKey("microvm", "dev"), RunKey("microvm", "release")
FACTS = Facts(
    layout=LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.EQUAL),
    selftest=SelftestEvidence(plan=1, passed=1, failed=0),
    invariants={"I": 3},
    violated=(),
)


def assigned(schedule: Schedule[int], *workers: int) -> list[tuple[int, ...] | None]:
    assignments = [schedule.next_for(worker) for worker in workers]
    return [assignment.checks if assignment else None for assignment in assignments]


def test_each_worker_begins_a_run_of_its_own_the_longest_first() -> None:
    schedule = Schedule([Unit(DEV, (0,)), Unit(RELEASE, (1,)), Unit(RELEASE, (2,))])
    assert assigned(schedule, 0, 1, 0) == [(1,), (0,), (2,)]
    assert schedule.is_empty


def test_nobody_takes_from_a_run_that_another_worker_is_preparing() -> None:
    schedule = Schedule([Unit(DEV, (0,)), Unit(DEV, (1,))])
    assert assigned(schedule, 0, 1, 0) == [(0,), None, (1,)]


def test_a_prepared_run_is_shared_with_what_was_taken_down_of_it() -> None:
    schedule = Schedule([Unit(DEV, (0,)), Unit(DEV, (1,)), Unit(DEV, (2,))])
    assert schedule.next_for(0) == Assignment(DEV, (0,))
    schedule.prepared(DEV, FACTS)
    assert schedule.next_for(1) == Assignment(DEV, (1,), FACTS)
    assert schedule.next_for(0) == Assignment(DEV, (2,)), "who prepared it has the facts"


def test_tests_without_a_guest_wait_for_no_preflight() -> None:
    schedule = Schedule[int]([Unit(None, (0,)), Unit(None, (1,))])
    assert assigned(schedule, 0, 1) == [(0,), (1,)]


def test_checks_that_stay_together_are_assigned_at_once() -> None:
    schedule = Schedule([Unit(DEV, (0, 1, 2)), Unit(DEV, (3,))])
    assert assigned(schedule, 0, 0) == [(0, 1, 2), (3,)]


def test_what_a_dead_worker_did_not_begin_is_assigned_again_and_its_run_prepared_again() -> None:
    schedule = Schedule([Unit(DEV, (0, 1)), Unit(DEV, (2,))])
    schedule.next_for(0)
    schedule.prepared(DEV, FACTS)
    schedule.lost(0, Assignment(DEV, (1,)))
    assert schedule.next_for(1) == Assignment(DEV, (1,)), (
        "without facts: they died with the guests of that worker"
    )
    assert assigned(schedule, 1) == [(2,)]


def test_a_dead_worker_with_nothing_left_gives_nothing_back() -> None:
    schedule = Schedule([Unit(DEV, (0,))])
    schedule.next_for(0)
    schedule.lost(0, Assignment(DEV, ()))
    assert schedule.is_empty


def test_what_comes_first_is_assigned_before_the_rest_of_any_run() -> None:
    schedule = Schedule(
        [Unit(DEV, (0,)), Unit(DEV, (1,)), Unit(RELEASE, (2,)), Unit(RELEASE, (3,), comes_first=True)]
    )
    assert assigned(schedule, 0, 1, 0) == [(3,), (0,), (2,)]


def test_who_waits_for_what_comes_first_makes_something_else_meanwhile() -> None:
    first = [Unit(DEV, (0,), comes_first=True), Unit(DEV, (1,), comes_first=True)]
    schedule = Schedule([*first, Unit(RELEASE, (2,))])
    assert assigned(schedule, 0, 1) == [(0,), (2,)]
