"""Evidence is made in one way, of checks that were planned as of tests that nobody planned."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from frame_harness.base.guest_end import GuestEnd
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import (
    CheckResult,
    Evidence,
    GuestExits,
    Outcome,
    PlannedCheck,
    RunKey,
    Trouble,
    ViolatedInvariant,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import ReasonCode
from frame_harness.judge.verdict import judge_runs
from frame_harness.machine.definition import load_machines
from frame_harness.session.request import SessionRequest
from frame_harness.session.run import Ledger
from frame_harness.session.runs import WorkerOutput
from frame_harness.session.seen import Met, SessionSeen

RUN, OTHER = RunKey("q35", "dev"), RunKey("q35", "release")
REQUEST = SessionRequest(
    subject=frame_module(), machines=load_machines(["q35"]), profiles=("dev", "release"), any_machine=False
)
INVARIANT = ViolatedInvariant(name="A-LISTS", clauses=("FREE-03", "FREE-04"), text="a list ends nowhere")


def planned(check: str, run: RunKey = RUN) -> PlannedCheck:
    return PlannedCheck(run=run, check=check, clauses=("ALLOC-07",))


def result(
    check: str, outcome: Outcome = Outcome.PASSED, run: RunKey = RUN, message: str = ""
) -> CheckResult:
    return CheckResult(
        check=check, clauses=("ALLOC-07",), run=run, outcome=outcome, duration_s=0.1, message=message
    )


def ended(end: GuestEnd, count: int = 1) -> GuestExits:
    return GuestExits(got=end, count=count)


def ledger(run: RunKey = RUN, **facts: Any) -> Ledger:
    subject = REQUEST.subject.sha256
    return Ledger(run=run, image_sha256="a" * 64, build_id="b" * 8, subject_sha256=subject, **facts)


def output(*checks: PlannedCheck, **facts: Any) -> WorkerOutput:
    return WorkerOutput(planned=checks, **{"ledgers": (), "troubles": (), **facts})


def seen(
    *outputs: WorkerOutput, results: tuple[CheckResult, ...] = (), interrupted: bool = False
) -> SessionSeen:
    return SessionSeen(
        REQUEST, selection="x", outputs=list(outputs), results=list(results), interrupted=interrupted
    )


def names(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Checks that were planned, and those that came to their end."""
    return [one.check for one in evidence.plan], [one.check for one in evidence.checks]


def test_processes_add_up_and_the_plan_is_that_of_one_that_lived() -> None:
    lived = output(planned("a"), planned("b"), ledgers=(ledger(guests_booted=2),), toolchain="rustc 1.95.0")
    session = seen(output(), lived, output(ledgers=(ledger(guests_booted=1),)), results=(result("a"),))
    evidence = session.of_the_plan()
    [run] = evidence.runs
    assert names(evidence) == (["a", "b"], ["a"])
    assert (run.guests_booted, run.toolchain, evidence.selection) == (3, "rustc 1.95.0", "x")


def test_an_invariant_that_one_process_did_not_evaluate_is_not_evaluated() -> None:
    parts = [
        ledger(guests_booted=1, invariants={"A": 3, "B": 4}),
        ledger(guests_booted=1, invariants={"A": 2}),
        ledger(),
    ]
    [run] = seen(output(planned("a"), ledgers=tuple(parts))).of_the_plan().runs
    assert run.invariants == {"A": 2}
    [run] = seen(output(planned("a"), ledgers=tuple(reversed(parts)))).of_the_plan().runs
    assert run.invariants == {"A": 2}


def test_two_images_of_one_subject_are_an_error_and_each_accelerator_is_named() -> None:
    one, other = (
        replace(ledger(guests_booted=1, accelerator=accel), image_sha256=sha256)
        for accel, sha256 in (("kvm", "a" * 64), ("tcg", "c" * 64))
    )
    evidence = seen(output(ledgers=(one,)), output(ledgers=(other,))).of_the_runs()
    [run] = evidence.runs
    assert (run.accelerator, run.image_sha256) == ("kvm, tcg", f"{'a' * 64}, {'c' * 64}")
    [reason] = (one for one in judge_runs(evidence, FRAME_METADATA) if one.code is ReasonCode.IMAGE)
    assert reason.kind is VerdictKind.ERROR


def test_the_image_of_a_subject_that_changed_is_shown_alone() -> None:
    changed = replace(ledger(guests_booted=1), subject_sha256="d" * 64, image_sha256="c" * 64)
    evidence = seen(output(ledgers=(ledger(guests_booted=1), changed))).of_the_runs()
    [run] = evidence.runs
    assert (run.subject_sha256, run.image_sha256) == ("d" * 64, "c" * 64)


def test_invariant_that_two_processes_found_broken_is_planned_and_finished_once() -> None:
    found = ledger(violated=(INVARIANT,))
    evidence = seen(
        output(planned("a"), ledgers=(found,)), output(ledgers=(found,)), results=(result("a"),)
    ).of_the_plan()
    assert names(evidence) == (["a", "preflight::A-LISTS"], ["a", "preflight::A-LISTS"])
    assert evidence.checks[1].reproduce == "pytest --machine q35 --profile dev -k FREE-03"


def test_run_whose_checks_were_all_skipped_has_a_blank_record_and_one_that_is_lost_has_none() -> None:
    both = output(planned("a"), planned("b", OTHER))
    evidence = seen(both, results=(result("a", Outcome.SKIPPED), result("b", run=OTHER))).of_the_plan()
    assert evidence.planned_runs == (RUN, OTHER)
    assert [(run.run, run.image_sha256, run.guests_booted) for run in evidence.runs] == [(RUN, "", 0)]


def test_plan_of_a_session_that_was_stopped_before_its_workers_spoke_is_what_came_to_its_end() -> None:
    evidence = seen(output(), results=(result("a"),), interrupted=True).of_the_plan()
    assert (evidence.interrupted, evidence.planned_runs) == (True, (RUN,))
    assert [one.check for one in evidence.plan] == ["a"]


def test_same_trouble_of_several_processes_is_one() -> None:
    trouble = Trouble(what="build", message="no core")
    evidence = seen(output(troubles=(trouble,)), output(troubles=(trouble,))).of_the_plan()
    assert evidence.errors == (trouble,)


def test_tests_that_nobody_planned_leave_what_no_test_has_judged() -> None:
    """Neither results, nor guests whose end was raised to a test, nor a run that failed all of its tests."""
    broken = ledger(OTHER, violated=(INVARIANT,))
    caught = ledger(
        guests_booted=3,
        exits=(ended(GuestEnd.PASS, 2), ended(GuestEnd.PANIC)),
        raised=(ended(GuestEnd.PANIC),),
        violated=(INVARIANT,),
    )
    trouble = Trouble(what="preflight", message="no banner", run=OTHER)
    told = output(planned("a"), ledgers=(caught, broken), troubles=(trouble,))
    evidence = seen(told, results=(result("a", Outcome.VIOLATED),)).of_the_runs()
    assert (evidence.planned_runs, evidence.errors) == ((RUN,), ())
    assert [one.check for one in evidence.checks] == ["preflight::A-LISTS"]
    assert (evidence.runs[0].guests_booted, evidence.runs[0].exits) == (2, (ended(GuestEnd.PASS, 2),))


def test_a_guest_that_ended_badly_behind_the_tests_hides_nothing_of_its_run() -> None:
    broken = ledger(guests_booted=2, exits=(ended(GuestEnd.PASS), ended(GuestEnd.RESET)))
    trouble = Trouble(what="guests", message="a guest could not be ended in good order", run=RUN)
    evidence = seen(output(planned("a"), ledgers=(broken,), troubles=(trouble,))).of_the_runs()
    assert (evidence.planned_runs, evidence.errors) == ((RUN,), (trouble,))
    assert evidence.runs[0].exits == broken.exits


@pytest.mark.parametrize("way", [SessionSeen.of_the_plan, SessionSeen.of_the_runs])
def test_met_on_the_way_is_found_once_a_run_as_the_first_check_in_the_plan_met_it(way: Any) -> None:
    some = seen(output(planned("a"), ledgers=(ledger(),)))
    met = [result("on-the-way::ALLOC-14", Outcome.VIOLATED, message=f"{number}") for number in range(4)]
    other = result("on-the-way::ALLOC-09", Outcome.VIOLATED)
    for number in (3, 1, 2):
        some.take_on_the_way(Met(number=number, result=met[number]))
    some.take_on_the_way(Met(number=0, result=other))
    assert way(some).checks == (other, met[1])


def test_results_are_in_the_order_of_the_plan_whoever_made_them_first() -> None:
    plan = output(planned("a"), planned("b"), planned("a", run=OTHER), ledgers=(ledger(), ledger(run=OTHER)))
    came = (result("a", run=OTHER), result("b"), result("a"))
    evidence = seen(plan, results=came).of_the_plan()
    assert [(one.run, one.check) for one in evidence.checks] == [(RUN, "a"), (RUN, "b"), (OTHER, "a")]
