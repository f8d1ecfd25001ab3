"""The finding that is read first is the simplest one; what it explains is listed below it, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import CheckResult, Evidence, Level, Outcome, RunKey
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.findings import Finding
from frame_harness.report import json_report
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import SUBJECT, healthy_run

KEY = RunKey("q35", "dev")
OTHER = RunKey("q35", "release")


def violation(clause: str, level: Level, function: str, field: str, **facts: Any) -> CheckResult:
    """A check that found its clause broken; it called the function that it blames, unless told otherwise."""
    facts = {"calls": (function,), "expected": "1", "got": "2", "run": KEY, **facts}
    return CheckResult(
        check=f"test_x.py::test_{clause}_{level}", clauses=(clause,), outcome=Outcome.VIOLATED,
        duration_s=0.1, message="seen", level=level, function=function, field=field, **facts,
    )  # fmt: skip


def evidence_of(*results: CheckResult) -> Evidence:
    keys = tuple(dict.fromkeys(result.run for result in results))
    return Evidence(
        subject=SUBJECT, planned_runs=keys, runs=tuple(map(healthy_run, keys)), checks=tuple(results)
    )


def found(*results: CheckResult, known: str = "") -> tuple[Finding, ...]:
    evidence = evidence_of(*results)
    return judge(evidence, known_findings(known) if known else EMPTY).findings


def explained(*results: CheckResult, known: str = "") -> dict[str, str]:
    return {one.clause: one.explained_by for one in found(*results, known=known)}


INC = "MetaSlot::inc_ref"
ALONE = violation("REF-01", Level.CALL, INC, "refcount")
RACE = violation("REF-04", Level.INTERLEAVING, INC, "refcount", got="9")


def test_one_cpu_comes_before_several_and_explains_what_they_saw() -> None:
    assert [one.clause for one in found(RACE, ALONE)] == ["REF-01", "REF-04"]
    assert explained(RACE, ALONE) == {"REF-01": "", "REF-04": "REF-01"}


@pytest.mark.parametrize(
    "independent",
    [
        violation("REF-04", Level.INTERLEAVING, "MetaSlot::dec_ref", "refcount", got="9"),
        violation("REF-04", Level.INTERLEAVING, INC, "flags", got="9"),
        violation("REF-04", Level.INTERLEAVING, INC, "", got="9"),
        violation("REF-08", Level.COMPILED, INC, "refcount", got="9"),
        violation("REF-07", Level.CALL, INC, "refcount", got="9"),
        violation("REF-07", Level.INTERLEAVING, INC, "refcount"),
        violation("REF-02", Level.CALL, "MetaSlot::cas_refcount", "refcount", calls=(), got="2"),
    ],
    ids=["function", "field", "no-field", "ordering", "hazard", "hazard-race", "not-called"],
)
def test_what_can_be_there_for_its_own_sake_stays_a_finding(independent: CheckResult) -> None:
    assert explained(ALONE, independent)[independent.clauses[0]] == ""


def test_a_cause_in_one_run_explains_nothing_in_another() -> None:
    elsewhere = replace(RACE, run=OTHER)
    assert explained(ALONE, RACE, elsewhere)["REF-04"] == ""
    assert explained(ALONE, replace(ALONE, run=OTHER), RACE, elsewhere)["REF-04"] == "REF-01"


def test_one_sight_that_the_cause_does_not_account_for_keeps_the_finding() -> None:
    also = replace(RACE, check="test_x.py::test_other", field="guard")
    assert explained(ALONE, RACE, also)["REF-04"] == ""


def test_what_either_of_two_faults_of_a_clause_explains_is_one_finding() -> None:
    two = [replace(ALONE, cause=cause, check=cause) for cause in ("one", "other")]
    told = [(one.clause, one.cause, one.explained_by) for one in found(*two, RACE)]
    assert told == [("REF-01", "one", ""), ("REF-04", "", "REF-01"), ("REF-01", "other", "")]


def test_a_fault_of_a_clause_is_no_consequence_because_another_one_is() -> None:
    elsewhere = replace(RACE, check="test_x.py::test_other", field="guard", cause="other")
    faults = {one.cause: one.explained_by for one in found(ALONE, RACE, elsewhere) if one.clause == "REF-04"}
    assert faults == {"": "REF-01", "other": ""}


def test_the_writer_comes_before_the_noticer() -> None:
    """In contract order REF-01 would be the first."""
    writer = violation("REF-03", Level.CALL, "MetaSlot::set_refcount", "refcount", expected="256", got="0")
    noticer = violation(
        "REF-01", Level.CALL, "MetaSlot::dec_ref", "refcount",
        calls=("MetaSlot::dec_ref", "MetaSlot::set_refcount"), expected="255", got="0",
    )  # fmt: skip
    assert [one.clause for one in found(noticer, writer)] == ["REF-03", "REF-01"]
    assert explained(noticer, writer)["REF-01"] == ""
    same = replace(noticer, expected="0x100", got="0x0")
    assert explained(same, writer)["REF-01"] == "REF-03"


def test_what_was_judged_comes_before_a_call_that_failed_on_the_way() -> None:
    """In contract order GEN-01 would be the first."""
    judged = violation("GUARD-03", Level.CALL, "MetaSlot::is_guard_poisoned", "guard")
    broke_off = violation("GEN-01", Level.CALL, "FrameAllocOptions::allocate", "", incidental=True)
    assert [one.clause for one in found(broke_off, judged)] == ["GUARD-03", "GEN-01"]


def test_a_clause_about_the_field_comes_before_the_one_about_all_fields() -> None:
    own = violation("FREE-07", Level.CALL, "MetaSlot::set_prev", "prev", got="3")
    general = violation("LAYOUT-07", Level.CALL, "MetaSlot::set_prev", "prev", got="4")
    assert explained(general, own) == {"FREE-07": "", "LAYOUT-07": "FREE-07"}
    elsewhere = violation("LAYOUT-07", Level.CALL, "MetaSlot::set_next", "next", got="4")
    assert explained(elsewhere, own) == {"FREE-07": "", "LAYOUT-07": ""}


def test_what_allocate_calls_comes_before_allocate() -> None:
    """Though the check of the race had to allocate a frame, too; in contract order ALLOC-10 is the first."""
    allocate, swap = "FrameAllocOptions::allocate", "MetaSlot::cas_refcount"
    both = (allocate, swap)
    claim = violation("ALLOC-10", Level.INTERLEAVING, allocate, "refcount", calls=both, got="7")
    race = violation("REF-05", Level.INTERLEAVING, swap, "refcount", calls=both, got="8")
    assert explained(claim, race) == {"REF-05": "", "ALLOC-10": ""}
    assert [one.clause for one in found(claim, race)] == ["REF-05", "ALLOC-10"]


def test_two_that_used_each_other_are_both_findings() -> None:
    both = ("MetaSlot::dec_ref", "MetaSlot::set_refcount")
    one = violation("REF-01", Level.CALL, both[0], "refcount", calls=both, got="7")
    other = violation("REF-03", Level.CALL, both[1], "refcount", calls=both, got="8")
    assert explained(one, other) == {"REF-01": "", "REF-03": ""}


def test_a_constant_explains_the_field_whose_values_it_decides() -> None:
    constant = violation("CONST-02", Level.DECLARATION, "REFCOUNT_UNUSED", "")
    free = violation("FREE-02", Level.MEMORY, "MetaSlot::set_refcount", "refcount")
    flags = violation("ALLOC-02", Level.CALL, "FrameAllocOptions::allocate", "flags", got="7")
    assert explained(free, flags, constant) == {"CONST-02": "", "FREE-02": "CONST-02", "ALLOC-02": ""}


def test_an_inner_type_explains_the_outer_one() -> None:
    inner = violation("LAYOUT-04", Level.DECLARATION, "FreeListLink", "", got="5")
    outer = violation("LAYOUT-02", Level.DECLARATION, "MetaSlot", "next", got="6")
    assert [one.clause for one in found(outer, inner)] == ["LAYOUT-04", "LAYOUT-02"]
    whole = replace(outer, field="")
    assert explained(whole, inner) == {"LAYOUT-02": "", "LAYOUT-04": ""}


def test_a_promise_stands_before_a_hazard_and_a_hazard_before_what_comes_of_it() -> None:
    hazard = violation("GUARD-08", Level.CALL, "FrameAllocOptions::allocate", "guard")
    promise = violation("ALLOC-08", Level.HISTORY, "FrameAllocOptions::allocate", "flags")
    after = violation("GUARD-05", Level.HISTORY, "FrameAllocOptions::allocate", "guard", got="9")
    assert [one.clause for one in found(after, hazard, promise)] == ["ALLOC-08", "GUARD-08", "GUARD-05"]


def test_the_violation_that_is_shown_is_the_one_of_the_simplest_check() -> None:
    storm = replace(ALONE, check="a", level=Level.STORM, calls=())
    long = replace(ALONE, check="b", calls=(INC, "MetaSlot::dec_ref"))
    [finding] = found(storm, long, ALONE)
    assert [result.check for result in finding.results] == [ALONE.check, "b", "a"]


POISON = "block_phys_has_poison_guard"


def test_a_clause_about_the_blamed_function_comes_before_one_about_others() -> None:
    """In contract order ARRAY-07 would be the first."""
    own = violation("GUARD-06", Level.CALL, POISON, "")
    foreign = violation("ARRAY-07", Level.CALL, POISON, "", got="3")
    assert [one.clause for one in found(foreign, own)] == ["GUARD-06", "ARRAY-07"]


def test_the_same_observation_is_one_finding() -> None:
    allocate = "FrameAllocOptions::allocate"
    failed = {"expected": "success", "got": "OutOfMemory", "incidental": True}
    first = violation("ALLOC-02", Level.SEQUENCE, allocate, "", **failed)
    again = violation("GEN-01", Level.SEQUENCE, allocate, "", **failed)
    assert explained(first, again) == {"ALLOC-02": "", "GEN-01": "ALLOC-02"}
    for other in ({"got": "panic"}, {"frame": 0x1000}, {"message": "another call"}):
        assert explained(first, replace(again, **other))["GEN-01"] == "", other


def test_a_check_that_judged_nothing_is_explained_by_a_broken_function_that_it_called() -> None:
    cause = violation("GUARD-06", Level.CALL, POISON, "")
    on_the_way = violation(
        "ALLOC-05", Level.SEQUENCE, "FrameAllocOptions::allocate", "", got="OutOfMemory",
        incidental=True, calls=("FrameAllocOptions::allocate", POISON),
    )  # fmt: skip
    assert explained(cause, on_the_way)["ALLOC-05"] == "GUARD-06"
    assert explained(cause, replace(on_the_way, calls=()))["ALLOC-05"] == ""
    assert explained(cause, replace(on_the_way, incidental=False))["ALLOC-05"] == ""
    assert explained(replace(cause, level=Level.STORM), on_the_way)["ALLOC-05"] == ""


def test_of_equally_simple_results_that_of_the_first_run_is_shown() -> None:
    later = replace(ALONE, run=OTHER)
    evidence = replace(evidence_of(later, ALONE), planned_runs=(KEY, OTHER))
    [finding] = judge(evidence).findings
    assert finding.first.run == KEY


def test_a_known_finding_explains_nothing_and_is_no_consequence() -> None:
    known = '[[finding]]\nid = "REF-01"\nreason = "audited"\n'
    assert explained(ALONE, RACE, known=known) == {"REF-04": "", "REF-01": ""}
    assert explained(ALONE, RACE, known=known.replace("01", "04")) == {"REF-01": "", "REF-04": ""}


def test_a_consequence_counts_for_the_verdict_and_stays_in_the_json_report() -> None:
    evidence = evidence_of(ALONE, RACE)
    baseline = known_findings('[[finding]]\nid = "REF-01"\nreason = "audited"\n')
    verdict = judge(evidence, baseline)
    messages = [reason.message for reason in verdict.reasons if reason.kind is VerdictKind.FAIL]
    assert any("REF-04" in message for message in messages)
    document = json.loads(json_report.dumps(evidence, judge(evidence), EMPTY))
    [first, second] = document["findings"]
    assert (first["clause"], first["explained_by"], first["function"]) == ("REF-01", None, INC)
    assert (second["clause"], second["explained_by"], second["level"]) == ("REF-04", "REF-01", "interleaving")


def test_the_hazards_of_a_real_module_are_nine_findings_of_their_own() -> None:
    """As a whole check sees them: the same functions and fields turn up in several."""
    allocate, dec = "FrameAllocOptions::allocate", "MetaSlot::dec_ref"
    seen = [
        violation("ALLOC-07", Level.CALL, "FrameAllocOptions::zeroed", "payload"),
        violation("ALLOC-15", Level.CALL, allocate, "payload"),
        violation("ALLOC-16", Level.INTERLEAVING, allocate, "generation"),
        violation("ALLOC-16", Level.COMPILED, allocate, "refcount"),
        violation("REF-07", Level.CALL, dec, "refcount"),
        violation("REF-07", Level.HISTORY, dec, "refcount"),
        violation("REF-09", Level.COMPILED, dec, "refcount"),
        violation("GUARD-08", Level.CALL, allocate, "guard"),
        violation("GUARD-09", Level.INTERLEAVING, "MetaSlot::mark_poisoned", "flags"),
        violation("VT-03", Level.CALL, "MetaSlot::try_vtable_ref", "vtable"),
        violation("FRAME-03", Level.CALL, "FrameRangeInclusive::next", ""),
    ]
    assert set(explained(*seen).values()) == {""}
    assert len(found(*seen)) == 9
