"""Proves in which order mutants meet checks, and what kills one, on values: no guest, no build."""

from __future__ import annotations

from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.evidence import Level, Outcome
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.reason import Reason, ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.machine.definition import load_machine
from frame_harness.mutation.mutants import Mutant, Operator
from frame_harness.mutation_testing import score
from frame_harness.mutation_testing.judging import told_once, with_hang_limits
from frame_harness.mutation_testing.order import Candidate, Tier, in_order, tier
from frame_harness.mutation_testing.records import How
from frame_harness.mutation_testing.reference import KnownReason, kill_by_reasons
from tests.support.mutant_samples import (
    ALL,
    DEC,
    DEV,
    INC,
    ORDERS,
    RUN,
    known,
    mutant,
    reference,
    result,
)


def candidate(
    check: str, cost_s: float = 1.0, level: Level = Level.CALL, group: str = "", runs_with: int = 0
) -> Candidate:
    return Candidate(check, level, frozenset({check.rpartition("::")[2]}), group, cost_s, runs_with)


def order_of(candidates: list[Candidate], of: Mutant) -> list[str]:
    return [one.check for one in in_order(candidates, lambda one: one, of, frozenset({INC, ALL}))]


# Which checks come first


def test_a_check_of_the_function_comes_before_a_cheaper_one_that_merely_runs_the_line() -> None:
    checks = [candidate(DEC, 0.1), candidate(ALL, 0.2), candidate(INC, 0.9)]
    assert order_of(checks, mutant()) == [INC, ALL, DEC]


def test_of_two_checks_that_run_the_line_the_cheaper_one_comes_first() -> None:
    checks = [candidate(ALL, 2.0), candidate("test_e.py::inc", 3.0), candidate(ALL, 1.0)]
    made = in_order(checks, lambda one: one, mutant(function="other"), frozenset({INC, ALL}))
    assert [one.cost_s for one in made] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("operator", [Operator.ORDERING, Operator.FAILURE_ORDERING, Operator.FENCE_DROPPED])
def test_a_weaker_ordering_is_first_looked_for_in_compiled_code(operator: Operator) -> None:
    checks = [candidate(INC), candidate(ORDERS, 9.0, Level.COMPILED)]
    assert order_of(checks, mutant(operator=operator)) == [ORDERS, INC]
    assert order_of(checks, mutant()) == [INC, ORDERS]


def test_a_split_operation_is_first_looked_for_on_several_cpus() -> None:
    checks = [candidate(INC), candidate(ALL, 9.0, Level.INTERLEAVING)]
    assert order_of(checks, mutant(operator=Operator.RMW_SPLIT)) == [ALL, INC]
    assert order_of(checks, mutant()) == [INC, ALL]


def test_checks_that_share_a_guest_stay_together_at_the_place_of_the_first() -> None:
    checks = [
        candidate(DEC, 0.1),
        candidate(INC, 2.0, group="m"),
        candidate("b", 0.0, group="m"),
        candidate(ALL),
    ]
    assert order_of(checks, mutant()) == ["b", INC, ALL, DEC]


def test_what_checks_share_counts_once_where_they_are_placed() -> None:
    checks = [
        candidate("test_e.py::a", 0.9),
        candidate("test_e.py::b", 1.0, group="m"),
        candidate("test_e.py::c", 0.0, group="m"),
        candidate("test_e.py::d", 1.1),
    ]
    assert [one[-1] for one in order_of(checks, mutant())] == ["a", "c", "b", "d"]


def test_a_check_that_runs_a_rare_line_of_the_function_comes_before_a_somewhat_cheaper_one() -> None:
    checks = [candidate(ALL, 1.0, runs_with=9), candidate("inc", 2.0, runs_with=3)]
    made = in_order(checks, lambda one: one, mutant(function="other"), frozenset({"inc", ALL}))
    assert [one.check for one in made] == ["inc", ALL]
    checks[1] = with_fields(checks[1], cost_s=4.0)
    made = in_order(checks, lambda one: one, mutant(function="other"), frozenset({"inc", ALL}))
    assert [one.check for one in made] == [ALL, "inc"]


def test_a_line_is_as_rare_as_the_checks_that_run_it_are_few() -> None:
    assert reference().runs_with(mutant()) == {ALL: 1, INC: 2}
    assert reference().runs_with(mutant(function="MAX")) == {}
    assert replace(reference(), coverage=None).runs_with(mutant()) == {}


# How long a guest is waited for


@pytest.mark.parametrize(
    ("longest_s", "limit_s"),
    [(0.1, 6.0), (2.0, 8.0), (30.0, 20.0)],
    ids=["short", "long", "a subject that hangs"],
)
def test_a_guest_of_a_mutant_is_waited_for_as_long_as_the_subject_s_checks_suggest(
    longest_s: float, limit_s: float
) -> None:
    mine = load_machine("microvm").override(limits={"request_cpu_s": 20.0, "boot_cpu_s": 7.0})
    own = reference(
        results=(known(INC, "REF-07", duration_s=longest_s), known(ALL, "REF-07", duration_s=0.0))
    )
    limits = with_hang_limits({"mine.toml": mine}, own)["mine.toml"].limits
    assert (limits.request_cpu_s, limits.boot_cpu_s) == (limit_s, min(7.0, limit_s))


def test_a_machine_of_which_no_check_tells_keeps_its_limits() -> None:
    other = load_machine("q35")
    assert with_hang_limits({"q35": other}, reference()) == {"q35": other}


def test_a_check_that_runs_no_line_of_it_is_made_all_the_same_but_last() -> None:
    assert tier(candidate(DEC), mutant(), frozenset({INC})) is Tier.OTHERS


def test_a_line_without_code_is_reached_by_the_checks_of_its_function() -> None:
    assert reference().reaching(mutant(line=1)) == {ALL, INC}


def test_lines_that_every_guest_runs_on_its_way_to_the_prompt_are_reached_by_no_check() -> None:
    assert reference().reaching(mutant()) == {ALL, INC}


def test_a_constant_is_reached_by_no_check() -> None:
    assert reference().reaching(mutant(line=6, function="MAX")) == frozenset()


# What kills


def test_a_check_that_is_newly_broken_kills() -> None:
    kill = reference().kill_by(result(INC, Outcome.VIOLATED, "REF-07"))
    assert kill is not None
    assert (kill.how, kill.check, kill.clauses, kill.run) == (How.FINDING, INC, ("REF-07",), RUN)


def test_a_finding_of_the_subject_itself_does_not_kill() -> None:
    own = reference(results=(known(INC, "REF-07", outcome=Outcome.VIOLATED, broken=("REF-07",)),))
    assert own.kill_by(result(INC, Outcome.VIOLATED, "REF-07")) is None
    assert own.own_findings == ("REF-07",)


def test_another_clause_that_the_same_check_finds_broken_kills() -> None:
    own = reference(results=(known(INC, "REF-07", outcome=Outcome.VIOLATED, broken=("REF-07",)),))
    kill = own.kill_by(result(INC, Outcome.VIOLATED, "REF-07", "REF-06"))
    assert kill is not None
    assert kill.clauses == ("REF-06",)


def test_a_finding_of_the_subject_in_another_profile_does_not_count() -> None:
    own = reference(results=(known(INC, "REF-07", DEV, outcome=Outcome.VIOLATED, broken=("REF-07",)),))
    assert own.kill_by(result(INC, Outcome.VIOLATED, "REF-07")) is not None


def test_what_a_storm_finds_once_is_told_as_what_it_is() -> None:
    """A race of the subject that shows once in a while would be credited to whatever mutant meets it."""
    kill = reference().kill_by(result(INC, Outcome.VIOLATED, "REF-04", level=Level.STORM))
    assert kill is not None
    assert kill.by_storm
    assert told_once([kill]).endswith("seen once, not in 3 storms more; the race may be the subject's own")
    assert told_once([]) == ""


@pytest.mark.parametrize(("outcome", "how"), [(Outcome.CRASHED, How.CRASH), (Outcome.TIMEOUT, How.HANG)])
def test_a_guest_that_crashes_or_hangs_kills_with_that_reason(outcome: Outcome, how: How) -> None:
    kill = reference().kill_by(result(INC, outcome))
    assert kill is not None
    assert kill.how is how
    own = reference(results=(known(INC, "REF-07", outcome=outcome),))
    assert own.kill_by(result(INC, outcome)) is None, "the subject does no better"


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.SKIPPED, Outcome.ERROR, Outcome.NOT_EVALUATED])
def test_what_is_no_finding_kills_nothing(outcome: Outcome) -> None:
    assert reference().kill_by(result(INC, outcome)) is None


def test_an_error_of_the_harness_is_told_unless_the_subject_has_it_too() -> None:
    error = result(INC, Outcome.ERROR)
    assert reference().is_new_error(error)
    assert not reference(results=(known(INC, "REF-07", outcome=Outcome.ERROR),)).is_new_error(error)


def test_reasons_against_a_pass_kill_only_where_the_subject_has_them_not() -> None:
    reason = Reason(kind=VerdictKind.CRASH, code=ReasonCode.EXIT, message="status 35", run=RUN)
    verdict = Verdict(kind=VerdictKind.CRASH, reasons=(reason,))
    assert reference().new_reasons(verdict) == (reason,)
    own = KnownReason(kind=VerdictKind.CRASH, code=ReasonCode.EXIT, run=RUN)
    assert reference(reasons=(own,)).new_reasons(verdict) == ()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (VerdictKind.CRASH, How.CRASH),
        (VerdictKind.TIMEOUT, How.HANG),
        (VerdictKind.FAIL, How.NO_PASS),
        (VerdictKind.NO_TESTS, How.NO_PASS),
    ],
)
def test_a_run_that_is_no_pass_kills_by_what_it_is(kind: VerdictKind, how: How) -> None:
    kill = kill_by_reasons([Reason(kind=kind, code=ReasonCode.RUNS, message="said")])
    assert kill is not None
    assert (kill.how, kill.message) == (how, "said")


def test_an_error_is_no_kill() -> None:
    assert kill_by_reasons([Reason(kind=VerdictKind.ERROR, code=ReasonCode.RUNS, message="said")]) is None


# Who should have noticed


def test_clauses_of_checks_that_are_about_the_function_should_have_noticed() -> None:
    clues = score.clues_of(mutant(), frozenset({INC, ALL}), reference(), FRAME_METADATA)
    assert [(one.clause, one.checks) for one in clues] == [("REF-07", (INC,))]
    assert clues[0].title == FRAME_METADATA.clauses["REF-07"].title


def test_of_a_weaker_ordering_only_clauses_about_orderings_should_have_noticed() -> None:
    weaker = mutant(operator=Operator.ORDERING)
    assert score.clues_of(weaker, frozenset({INC, ALL}), reference(), FRAME_METADATA) == ()
    told = reference(about={INC: frozenset({"inc"}), ORDERS: frozenset({"inc"})})
    clues = score.clues_of(weaker, frozenset({INC, ALL}), told, FRAME_METADATA)
    assert [one.clause for one in clues] == ["REF-08"]


def test_where_no_check_is_about_it_those_that_run_the_line_should_have() -> None:
    clues = score.clues_of(mutant(function="x"), frozenset({INC, ALL}), reference(about={}), FRAME_METADATA)
    assert {one.clause for one in clues} == {"REF-07", "ALLOC-07"}
