"""A PASS is a conjunction: break any one fact and it is gone."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from frame_harness.base.guest_end import GuestEnd
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.evidence import (
    DumpEvidence,
    Evidence,
    EvidenceError,
    GuestExits,
    LayoutEvidence,
    Level,
    Outcome,
    RunKey,
    SelftestEvidence,
    Trouble,
    Witness,
    decode,
    encode,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.verdict import Verdict, judge_runs
from tests.support.judging import judge, known_findings
from tests.unit.evidence_samples import (
    CHECKS,
    CLAUSES_LOOKED_AT,
    DEV,
    LIFE,
    RANGE,
    RELEASE,
    TABLE,
    VTABLE,
    healthy,
    with_outcome,
    with_run,
)

# What a report shows and no judgement can be made of: any text or time will do.
INFORMATIVE = frozenset({
    "accelerator", "at", "duration_s", "expected", "field", "exhibit", "frame", "got", "message", "name",
    "path", "qemu_version", "reproduce", "selection", "text", "toolchain", "unreadable",
    "commands", "console_tail", "backtrace", "function", "calls", "level", "incidental", "case",
    "guests_put_back", "console_bytes", "events",
})  # fmt: skip


NO_DUMPS = DumpEvidence(requested=0, whole=0)


def layout(dwarf: str, guest_bytes: str) -> LayoutEvidence:
    return LayoutEvidence(dwarf=Witness[dwarf], guest_bytes=Witness[guest_bytes])


def codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.reasons}


def test_a_verdict_is_born_error() -> None:
    assert Verdict().kind is VerdictKind.ERROR


def test_healthy_evidence_passes_and_its_clauses_are_held() -> None:
    verdict = judge(healthy(), required=CLAUSES_LOOKED_AT)
    assert (verdict.kind, verdict.reasons) == (VerdictKind.PASS, ())
    assert verdict.count(ClauseOutcome.HELD) == len(CLAUSES_LOOKED_AT)
    assert verdict.clauses["ALLOC-07"].checks == (TABLE,)
    assert verdict.clauses["REF-04"].message == "no check of it ran"
    assert verdict.clauses["REF-01"].message == "no check of it ran"


def test_a_byte_that_is_no_text_does_not_lose_the_evidence() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED, got="\udcff", console_tail=("é",))
    back = decode(encode(evidence), Evidence)
    assert (back.checks[0].got, back.checks[0].console_tail) == ("?", ("é",))


def test_evidence_survives_json() -> None:
    evidence = healthy()
    assert decode(encode(evidence), Evidence) == evidence


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"subject": 1}', encode(healthy()).replace("checks", "cheks")]
)
def test_a_text_that_is_no_evidence_is_one_line(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        decode(text, Evidence)
    assert "\n" not in str(caught.value)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON tree, containers included."""
    if path:
        yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def corruptions(value: Any) -> Iterator[Any]:
    match value:
        case list():
            yield []
            yield [*value, *value[:1]]
            yield value[1:]
        case bool() | None:
            return
        case int():
            yield from (0, value + 1)
        case str():
            yield from ("", "other")
        case dict():
            yield {}


def corrupted() -> Iterator[tuple[str, Any]]:
    tree = json.loads(encode(healthy()))
    for path in places(tree):
        if INFORMATIVE & {step for step in path if isinstance(step, str)}:
            continue
        parent = tree
        for step in path[:-1]:
            parent = parent[step]
        for wrong in corruptions(parent[path[-1]]):
            if wrong == parent[path[-1]] or (path[-2:-1] == ("invariants",) and wrong):
                continue  # any number of frames above zero is as good
            broken = copy.deepcopy(tree)
            target = broken
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = wrong
            yield f"{'.'.join(map(str, path))} = {wrong!r:.40}", broken


def test_no_single_corruption_of_good_evidence_passes() -> None:
    survivors, tried = [], 0
    for what, tree in corrupted():
        tried += 1
        try:
            evidence = decode(json.dumps(tree), Evidence)
        except EvidenceError:
            continue
        if judge(evidence, required=CLAUSES_LOOKED_AT).kind is VerdictKind.PASS:
            survivors.append(what)
    assert tried > 200
    assert survivors == []


@given(st.data())
def test_no_mix_of_check_outcomes_passes_when_one_is_bad(data: st.DataObject) -> None:
    evidence = healthy()
    drawn = [data.draw(st.sampled_from(Outcome)) for _ in evidence.checks]
    lacks = ("MetaSlot",)
    checks = tuple(
        replace(result, outcome=outcome, lacks=lacks if outcome is Outcome.ABSENT else ())
        for result, outcome in zip(evidence.checks, drawn, strict=True)
    )
    kind = judge(replace(evidence, checks=checks, lacks=lacks)).kind
    worst = {
        Outcome.ERROR: VerdictKind.ERROR,
        Outcome.CRASHED: VerdictKind.CRASH,
        Outcome.TIMEOUT: VerdictKind.TIMEOUT,
        Outcome.VIOLATED: VerdictKind.FAIL,
        Outcome.NOT_EVALUATED: VerdictKind.NO_TESTS,
    }
    bad = [worst[outcome] for outcome in drawn if outcome in worst]
    if bad:
        assert kind is max(bad, key=lambda one: one.severity)
    else:
        assert kind in (VerdictKind.PASS, VerdictKind.SKIP, VerdictKind.UNJUDGEABLE)


def test_what_one_check_cannot_judge_is_not_held_though_others_passed() -> None:
    """Two checks with one cause: the cause is told once, with the clauses of both, and nothing else is."""
    evidence = healthy()
    cause = "frame.rs:7: `frob`: not known"
    stuck = [
        replace(
            evidence.checks[0],
            check=f"test_o.py::{id_}",
            clauses=(id_,),
            message=cause,
            outcome=Outcome.NOT_EVALUATED,
        )
        for id_ in ("ALLOC-12", CLAUSES_LOOKED_AT[0])
    ]
    checks = (*evidence.checks, *stuck)
    verdict = judge(replace(evidence, checks=checks), required=(*CLAUSES_LOOKED_AT, "ALLOC-12"))
    told = [reason for reason in verdict.reasons if reason.code == "check-not-evaluated"]
    assert [reason.message for reason in told] == [
        f"ALLOC-12, {CLAUSES_LOOKED_AT[0]}: not evaluated: {cause}"
    ]
    assert told[0].kind is VerdictKind.NO_TESTS
    assert not any(reason.code == "clause-unjudged" for reason in verdict.reasons)
    assert verdict.clauses[CLAUSES_LOOKED_AT[0]].outcome is ClauseOutcome.NOT_EVALUATED


EXITS = GuestExits(got=GuestEnd.PASS, count=3)


@pytest.mark.parametrize(
    ("got", "kind"),
    [
        (GuestEnd.FAIL, VerdictKind.FAIL),
        (GuestEnd.PANIC, VerdictKind.CRASH),
        (GuestEnd.RESET, VerdictKind.CRASH),
        (GuestEnd.UNEXPECTED, VerdictKind.CRASH),
        (GuestEnd.TIMEOUT, VerdictKind.TIMEOUT),
        (GuestEnd.CONTRADICTION, VerdictKind.CRASH),
        (GuestEnd.UNKNOWN, VerdictKind.CRASH),
        (GuestEnd.KILLED, VerdictKind.ERROR),
        (GuestEnd.SIGNALED, VerdictKind.ERROR),
        (GuestEnd.REFUSED, VerdictKind.ERROR),
    ],
)
def test_a_guest_that_ends_otherwise_is_never_a_pass(got: GuestEnd, kind: VerdictKind) -> None:
    verdict = judge(with_run(healthy(), DEV, exits=(replace(EXITS, got=got),)))
    assert (verdict.kind, codes(verdict)) == (kind, {"exit"})


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"guests_booted": 0, "exits": ()}, VerdictKind.ERROR, "no-guest"),
        ({"exits": ()}, VerdictKind.ERROR, "guests"),
        ({"image_sha256": ""}, VerdictKind.ERROR, "image"),
        ({"subject_sha256": "2f" * 32}, VerdictKind.ERROR, "subject-changed"),
        ({"dumps": NO_DUMPS}, VerdictKind.NO_TESTS, "no-dump"),
        ({"dumps": DumpEvidence(requested=3, whole=2)}, VerdictKind.ERROR, "dumps"),
        ({"dumps": DumpEvidence(requested=2, whole=2, contradicted=1)}, VerdictKind.ERROR, "dump-witness"),
        ({"selftest": SelftestEvidence(plan=0, passed=0, failed=0)}, VerdictKind.NO_TESTS, "no-selftest"),
        (
            {"selftest": SelftestEvidence(plan=9, passed=8, failed=0)},
            VerdictKind.ERROR,
            "selftest-incomplete",
        ),
        ({"selftest": SelftestEvidence(plan=9, passed=8, failed=1)}, VerdictKind.FAIL, "selftest"),
        (
            {"selftest": SelftestEvidence(plan=9, passed=10, failed=-1)},
            VerdictKind.ERROR,
            "selftest-incomplete",
        ),
        ({"invariants": {}}, VerdictKind.NO_TESTS, "no-invariants"),
        ({"invariants": {"links": 0}}, VerdictKind.NO_TESTS, "empty-invariant"),
        ({"invariants": {"A-SLOT-ADDRESS": 90}}, VerdictKind.NO_TESTS, "invariants-missing"),
        ({"layout": layout("DIFFERS", "EQUAL")}, VerdictKind.FAIL, "layout"),
        (
            {"layout": layout("EQUAL", "DIFFERS")},
            VerdictKind.FAIL,
            "layout-witness",
        ),
        (
            {"layout": layout("UNREAD", "EQUAL")},
            VerdictKind.ERROR,
            "layout-unread",
        ),
        (
            {"layout": layout("EQUAL", "UNREAD")},
            VerdictKind.ERROR,
            "layout-unread",
        ),
    ],
)
def test_each_fact_of_a_run_is_needed(fields: dict[str, Any], kind: VerdictKind, code: str) -> None:
    verdict = judge(with_run(healthy(), DEV, **fields))
    assert verdict.kind is kind
    assert code in codes(verdict)


@pytest.mark.parametrize("missing", FRAME_METADATA.invariants)
def test_pass_needs_each_invariant_of_the_contract(missing: str) -> None:
    others = {id_: 32000 for id_ in FRAME_METADATA.invariants if id_ != missing}
    evidence = with_run(healthy(), DEV, invariants=others)
    [reason] = judge(evidence).reasons
    assert (reason.kind, reason.code) == (VerdictKind.NO_TESTS, "invariants-missing")
    assert reason.message == f"invariants: 1 of {len(FRAME_METADATA.invariants)} not evaluated: {missing}"
    needs = [FRAME_METADATA.versions.of_clause(id_) for id_ in FRAME_METADATA.invariants[missing].clauses]
    for lacks in needs:
        excused = all(set(names) & set(lacks) for names in needs)
        in_older = replace(evidence, lacks=lacks)
        assert (judge(in_older).kind is VerdictKind.PASS) == excused, "of some clause nothing is lacking"


def test_what_is_missing_is_not_told_where_memory_was_broken_from_the_start() -> None:
    evidence = with_run(healthy(), DEV, invariants={"A-SLOT-ADDRESS": 90}, dumps=NO_DUMPS)
    assert codes(judge(evidence)) == {"invariants-missing", "no-dump"}
    broken = with_outcome(evidence, TABLE, Outcome.VIOLATED, DEV, level=Level.MEMORY)
    assert codes(judge(broken)) == {"violation"}
    known = judge(broken, known_findings(
        "".join(f'[[finding]]\nid = "{id_}"\nreason = "old"\n' for id_ in CHECKS[TABLE])
    ))  # fmt: skip
    assert codes(known) == {"invariants-missing", "no-dump"}, "what is known excuses nothing"
    elsewhere = with_outcome(evidence, TABLE, Outcome.VIOLATED, RELEASE, level=Level.MEMORY)
    assert codes(judge(elsewhere)) == {"violation", "invariants-missing", "no-dump"}


def test_a_missing_run_is_an_error() -> None:
    evidence = healthy()
    without = [result for result in evidence.checks if result.run == DEV]
    verdict = judge(replace(evidence, runs=evidence.runs[:1], checks=tuple(without)))
    assert (verdict.kind, codes(verdict)) == (VerdictKind.ERROR, {"runs"})


def test_clause_is_not_held_where_a_planned_check_of_it_never_finished() -> None:
    evidence = healthy()
    lost = [result for result in evidence.checks if (result.run, result.check) != (DEV, TABLE)]
    verdict = judge(replace(evidence, checks=tuple(lost)), KNOWN)
    judgement = verdict.clauses["ALLOC-07"]
    assert judgement.outcome is ClauseOutcome.NOT_EVALUATED
    assert judgement.message == f"error: {TABLE} was planned in q35/dev, and never finished"
    assert verdict.clauses["ALLOC-09"].outcome is ClauseOutcome.HELD
    assert verdict.stale == ()  # nor may anybody be told to take it out of the baseline


def test_nothing_at_all_is_no_tests() -> None:
    verdict = judge(replace(healthy(), planned_runs=(), runs=(), checks=()))
    assert (verdict.kind, codes(verdict)) == (VerdictKind.NO_TESTS, {"no-runs"})


def test_a_selection_that_matches_nothing_is_no_tests() -> None:
    verdict = judge(replace(healthy(), checks=(), plan=()))
    assert (verdict.kind, codes(verdict)) == (VerdictKind.NO_TESTS, {"no-checks"})


def test_a_selection_of_one_check_passes() -> None:
    evidence = healthy()
    evidence = replace(
        evidence,
        checks=tuple(one for one in evidence.checks if one.check == TABLE),
        plan=tuple(one for one in evidence.plan if one.check == TABLE),
    )
    assert judge(evidence).kind is VerdictKind.PASS


@pytest.mark.parametrize("lacks", [(), ("MetaSlot",)])
def test_a_run_in_which_no_check_was_made_is_skip_whatever_another_saw(lacks: tuple[str, ...]) -> None:
    evidence = replace(healthy(), lacks=lacks)
    for check in CHECKS:
        evidence = with_outcome(evidence, check, Outcome.SKIPPED, DEV, message="no such RAM")
    if lacks:
        evidence = with_outcome(evidence, VTABLE, Outcome.ABSENT, lacks=lacks)
    verdict = judge(evidence)
    assert [(one.kind, one.code, one.run) for one in verdict.reasons] == [
        (VerdictKind.SKIP, "all-skipped", DEV)
    ]


def test_a_run_that_nothing_was_asked_of_is_skip() -> None:
    evidence = healthy()
    for check in dict.fromkeys(result.check for result in evidence.checks):
        evidence = with_outcome(evidence, check, Outcome.SKIPPED, message="needs another machine")
    blank = {"image_sha256": "", "build_id": "", "guests_booted": 0, "exits": (), "invariants": {}}
    for key in (DEV, RELEASE):
        evidence = with_run(evidence, key, **blank)
    verdict = judge(evidence)
    assert (verdict.kind, codes(verdict)) == (VerdictKind.SKIP, {"all-skipped"})
    unfinished = replace(evidence, checks=evidence.checks[1:])
    assert judge(unfinished).kind is VerdictKind.ERROR


def test_a_clause_skipped_everywhere_is_not_evaluated_and_not_enough_when_required() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.SKIPPED, message="no such RAM")
    verdict = judge(evidence)
    assert verdict.kind is VerdictKind.PASS
    assert verdict.clauses["ALLOC-07"].outcome is ClauseOutcome.NOT_EVALUATED
    assert verdict.clauses["ALLOC-07"].message == "skipped: no such RAM"
    assert judge(evidence, required=["ALLOC-07"]).kind is VerdictKind.NO_TESTS


def test_a_build_that_failed_is_one_error_and_explains_its_missing_run() -> None:
    trouble = Trouble(what="build", message="frame.rs:3: expected `;`", run=DEV)
    verdict = judge(replace(healthy(), planned_runs=(DEV,), runs=(), checks=(), errors=(trouble,)))
    assert (verdict.kind, len(verdict.reasons)) == (VerdictKind.ERROR, 1)


def test_a_build_that_failed_before_any_run_was_planned_is_that_one_error() -> None:
    trouble = Trouble(what="build", message="frame.rs:3: expected `;`")
    verdict = judge(replace(healthy(), planned_runs=(), runs=(), checks=(), errors=(trouble,)))
    assert codes(verdict) == {"trouble"}


@pytest.mark.parametrize(
    ("outcome", "got", "kind"),
    [
        (Outcome.CRASHED, GuestEnd.PANIC, VerdictKind.CRASH),
        (Outcome.CRASHED, GuestEnd.RESET, VerdictKind.CRASH),
        (Outcome.TIMEOUT, GuestEnd.TIMEOUT, VerdictKind.TIMEOUT),
        (Outcome.ERROR, GuestEnd.SIGNALED, VerdictKind.ERROR),
    ],
)
def test_what_the_guest_did_before_the_first_check_names_the_verdict(
    outcome: Outcome, got: GuestEnd, kind: VerdictKind
) -> None:
    ended = GuestExits(got=got, count=1)
    evidence = with_run(
        healthy(), DEV, guests_booted=1, exits=(ended,), layout=layout("UNREAD", "UNREAD"), invariants={}
    )
    trouble = Trouble(what="preflight", message="no prompt", run=DEV, outcome=outcome)
    verdict = judge(replace(evidence, errors=(trouble,)))
    assert verdict.kind is kind
    # What stayed unread for that reason is no fact of its own.
    assert codes(verdict) == {"trouble", "exit"}


def test_a_layout_that_stops_a_run_before_its_first_guest_is_fail() -> None:
    stopped = layout("DIFFERS", "UNREAD")
    evidence = replace(healthy(), checks=())
    for key in (DEV, RELEASE):
        evidence = with_run(evidence, key, layout=stopped, guests_booted=0, exits=())
    verdict = judge(evidence)
    assert (verdict.kind, codes(verdict)) == (VerdictKind.FAIL, {"layout"})


def test_one_violation_in_one_run_violates_the_clause() -> None:
    verdict = judge(
        with_outcome(healthy(), VTABLE, Outcome.VIOLATED, DEV, expected="the default", got="a panic")
    )
    assert (verdict.kind, codes(verdict)) == (VerdictKind.FAIL, {"violation"})
    judgement = verdict.clauses["VT-03"]
    assert judgement.outcome is ClauseOutcome.VIOLATED
    assert judgement.message == "expected the default, got a panic (q35/dev)"


def test_a_violation_may_name_the_clause_it_breaks_and_leaves_the_other_open() -> None:
    verdict = judge(with_outcome(healthy(), LIFE, Outcome.VIOLATED, breaks=("ALLOC-02",)))
    assert verdict.clauses["ALLOC-02"].outcome is ClauseOutcome.VIOLATED
    assert verdict.clauses["ALLOC-09"].outcome is ClauseOutcome.NOT_EVALUATED


def test_a_crashed_check_is_a_crash_and_its_clause_not_held() -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.CRASHED, DEV, message="#PF at 0x0"))
    assert verdict.kind is VerdictKind.CRASH
    assert verdict.clauses["ALLOC-07"].message == "crashed: #PF at 0x0"


def test_data_that_could_not_be_read_is_explained_by_what_is_broken_in_the_same_run() -> None:
    broken = with_outcome(healthy(), TABLE, Outcome.VIOLATED, DEV)
    verdict = judge(with_outcome(broken, LIFE, Outcome.ERROR, DEV, unreadable=True))
    assert (verdict.kind, codes(verdict)) == (VerdictKind.FAIL, {"violation", "check-error"})
    assert verdict.clauses["ALLOC-09"].outcome is ClauseOutcome.NOT_EVALUATED


def test_data_that_could_not_be_read_is_an_error_where_nothing_is_broken() -> None:
    assert judge(with_outcome(healthy(), LIFE, Outcome.ERROR, DEV, unreadable=True)).kind is VerdictKind.ERROR
    elsewhere = with_outcome(healthy(), TABLE, Outcome.VIOLATED, RELEASE)
    assert judge(with_outcome(elsewhere, LIFE, Outcome.ERROR, DEV, unreadable=True)).kind is VerdictKind.ERROR


def test_an_error_of_the_harness_is_one_whatever_is_broken() -> None:
    broken = with_outcome(healthy(), TABLE, Outcome.VIOLATED, DEV)
    assert judge(with_outcome(broken, LIFE, Outcome.ERROR, DEV)).kind is VerdictKind.ERROR


def test_data_that_could_not_be_read_is_no_pass_beside_a_known_finding() -> None:
    broken = with_outcome(healthy(), TABLE, Outcome.VIOLATED, DEV)
    known = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "known"\n')
    assert judge(broken, known).kind is VerdictKind.PASS
    assert (
        judge(with_outcome(broken, LIFE, Outcome.ERROR, DEV, unreadable=True), known).kind
        is VerdictKind.NO_TESTS
    )


def test_a_layout_that_a_broken_subject_kept_from_being_read_says_why_and_is_no_pass() -> None:
    unread = LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.UNREAD, text="no frame was handed out")
    verdict = judge(with_run(healthy(), DEV, layout=unread))
    assert verdict.kind is VerdictKind.NO_TESTS
    assert "no frame was handed out" in verdict.reasons[0].message


def test_the_worst_reason_names_the_verdict_and_comes_first() -> None:
    evidence = with_outcome(healthy(), TABLE, Outcome.VIOLATED)
    evidence = with_outcome(evidence, LIFE, Outcome.TIMEOUT)
    evidence = with_run(evidence, DEV, dumps=DumpEvidence(requested=1, whole=0))
    verdict = judge(evidence)
    assert verdict.kind is VerdictKind.ERROR
    severities = [reason.kind.severity for reason in verdict.reasons]
    assert severities == sorted(severities, reverse=True)


@pytest.mark.parametrize("clauses", [(), ("ALLOC-7",)])
def test_a_check_that_names_no_clause_of_the_contract_is_an_error(clauses: tuple[str, ...]) -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.PASSED, clauses=clauses))
    assert verdict.kind is VerdictKind.ERROR
    assert "check-clause" in codes(verdict)


def test_an_unknown_clause_of_a_check_names_the_nearest() -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.PASSED, clauses=("ALLOC-7",)))
    assert "did you mean ALLOC-07" in verdict.reasons[0].message


KNOWN = known_findings('[[finding]]\nid = "ALLOC-07"\nreason = "builder order"\n')
KNOWN_IN_DEV = known_findings('[[finding]]\nid = "VT-03"\nprofile = "dev"\nreason = "assertion"\n')


def test_a_known_violation_passes_and_is_listed_with_its_reason() -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.VIOLATED), KNOWN)
    assert verdict.kind is VerdictKind.PASS
    assert verdict.clauses["ALLOC-07"].outcome is ClauseOutcome.KNOWN
    assert verdict.clauses["ALLOC-07"].message == "builder order"
    assert (verdict.known, verdict.stale) == (KNOWN.entries, ())


def test_a_known_clause_that_crashes_is_still_a_crash() -> None:
    assert judge(with_outcome(healthy(), TABLE, Outcome.CRASHED), KNOWN).kind is VerdictKind.CRASH


def test_an_entry_of_one_profile_does_not_cover_the_other() -> None:
    violated = with_outcome(healthy(), VTABLE, Outcome.VIOLATED)
    verdict = judge(violated, KNOWN_IN_DEV)
    assert verdict.kind is VerdictKind.FAIL
    assert verdict.clauses["VT-03"].outcome is ClauseOutcome.VIOLATED
    assert "microvm/release" in verdict.clauses["VT-03"].message
    assert "q35/dev" not in verdict.clauses["VT-03"].message
    assert (
        judge(with_outcome(healthy(), VTABLE, Outcome.VIOLATED, DEV), KNOWN_IN_DEV).kind is VerdictKind.PASS
    )


def test_an_entry_that_no_longer_fires_is_stale_and_still_passes() -> None:
    verdict = judge(healthy(), KNOWN)
    assert (verdict.kind, verdict.stale, verdict.known) == (VerdictKind.PASS, KNOWN.entries, ())


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.CRASHED, Outcome.ERROR])
def test_an_entry_whose_clause_was_not_settled_is_not_stale(outcome: Outcome) -> None:
    assert judge(with_outcome(healthy(), TABLE, outcome), KNOWN).stale == ()


def test_a_known_clause_does_not_cover_another_clause_of_the_same_check() -> None:
    both = known_findings('[[finding]]\nid = "ALLOC-09"\nreason = "known"\n')
    verdict = judge(with_outcome(healthy(), LIFE, Outcome.VIOLATED), both)
    assert verdict.kind is VerdictKind.FAIL
    assert verdict.clauses["ALLOC-09"].outcome is ClauseOutcome.KNOWN
    assert verdict.clauses["ALLOC-02"].outcome is ClauseOutcome.VIOLATED


def test_a_run_that_nobody_planned_is_an_error() -> None:
    evidence = healthy()
    stranger = replace(evidence.runs[0], run=RunKey("pc", "dev"))
    assert judge(replace(evidence, runs=(*evidence.runs, stranger))).kind is VerdictKind.ERROR


def test_a_subject_without_a_hash_is_an_error_even_when_all_agree() -> None:
    evidence = healthy()
    evidence = replace(evidence, subject=replace(evidence.subject, sha256="none"))
    for key in (DEV, RELEASE):
        evidence = with_run(evidence, key, subject_sha256="none")
    assert codes(judge(evidence)) == {"subject"}


def test_a_result_of_a_run_that_never_happened_is_an_error_of_its_own() -> None:
    evidence = healthy()
    trouble = Trouble(what="qemu", message="not found", run=RELEASE)
    verdict = judge(replace(evidence, runs=evidence.runs[:1], errors=(trouble,)))
    assert codes(verdict) == {"trouble", "stray-check"}


def test_a_check_that_holds_and_breaks_a_clause_at_once_is_an_error() -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.PASSED, breaks=("ALLOC-07",)))
    assert codes(verdict) == {"check-clause"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"message": "the frame is dirty", "expected": "0", "got": "1"}, "the frame is dirty (q35/dev)"),
        ({"expected": "0", "got": "1"}, "expected 0, got 1 (q35/dev)"),
        ({}, f"{TABLE} violated (q35/dev)"),
    ],
)
def test_a_violation_is_told_by_its_message_or_else_by_what_was_seen(
    fields: dict[str, str], words: str
) -> None:
    verdict = judge(with_outcome(healthy(), TABLE, Outcome.VIOLATED, DEV, **fields))
    assert verdict.clauses["ALLOC-07"].message == words


def without(outcomes: dict[str, tuple[str, ...]], lacks: tuple[str, ...]) -> Evidence:
    """Healthy evidence of a version that lacks names, with some checks absent for want of some."""
    evidence = healthy()
    checks = tuple(
        replace(result, outcome=Outcome.ABSENT, lacks=outcomes[result.check], message="not there")
        if result.check in outcomes
        else result
        for result in evidence.checks
    )
    return replace(evidence, checks=checks, lacks=lacks)


def test_a_clause_that_is_not_in_a_version_does_not_stand_against_a_pass() -> None:
    verdict = judge(without({VTABLE: ("FrameMetaVtable",)}, ("FrameMetaVtable",)), required=CLAUSES_LOOKED_AT)
    assert (verdict.kind, verdict.reasons, verdict.absent) == (VerdictKind.PASS, (), 1)
    judgement = verdict.clauses["VT-03"]
    assert judgement.outcome is ClauseOutcome.NOT_EVALUATED
    assert judgement.message == "not in this version, which lacks FrameMetaVtable"


def test_an_absence_that_the_compiler_does_not_confirm_is_an_error() -> None:
    for evidence in (
        without({VTABLE: ("FrameMetaVtable",)}, ()),
        without({VTABLE: ("FrameMetaVtable", "get_meta")}, ("FrameMetaVtable",)),
        without({VTABLE: ()}, ("FrameMetaVtable",)),
    ):
        verdict = judge(evidence)
        assert verdict.kind is VerdictKind.ERROR
        assert {reason.code for reason in verdict.reasons} == {"absence"}


def test_a_version_of_which_nothing_was_looked_at_is_no_pass() -> None:
    none: dict[str, tuple[str, ...]] = dict.fromkeys(CHECKS, ("MetaSlot",))
    verdict = judge(without(none, ("MetaSlot",)))
    assert verdict.kind is VerdictKind.UNJUDGEABLE
    assert {reason.code for reason in verdict.reasons} == {"all-absent"}


def test_a_broken_clause_weighs_more_than_what_is_not_in_a_version() -> None:
    evidence = without({VTABLE: ("MetaSlot",)}, ("MetaSlot",))
    broken = replace(evidence.checks[0], outcome=Outcome.VIOLATED, message="no")
    verdict = judge(replace(evidence, checks=(broken, *evidence.checks[1:])))
    assert verdict.kind is VerdictKind.FAIL


def interrupted(evidence: Evidence) -> Verdict:
    """Judge an interrupted run in which one check of each run never came to its end."""
    short = tuple(result for result in evidence.checks if result.check != RANGE)
    return judge(replace(evidence, checks=short, interrupted=True))


def test_interruption_names_the_verdict_and_says_how_much_was_seen() -> None:
    verdict = interrupted(healthy())
    assert verdict.kind is VerdictKind.INTERRUPTED and codes(verdict) == {"interrupted"}
    assert verdict.reasons[0].message.startswith("stopped after 6 results")
    [left] = {one.message for one in verdict.clauses.values() if "never finished" in one.message}
    assert left.startswith("interrupted: ")


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.CRASHED, VerdictKind.CRASH),
        (Outcome.TIMEOUT, VerdictKind.TIMEOUT),
        (Outcome.VIOLATED, VerdictKind.FAIL),
    ],
)
def test_what_was_known_before_an_interruption_is_kept_with_its_check(
    outcome: Outcome, kind: VerdictKind
) -> None:
    verdict = interrupted(with_outcome(healthy(), TABLE, outcome, DEV))
    assert verdict.kind is VerdictKind.INTERRUPTED
    assert [(one.kind, one.check, one.run) for one in verdict.reasons[1:]] == [(kind, TABLE, DEV)]


@pytest.mark.parametrize(
    ("got", "kept"),
    [(GuestEnd.RESET, {"exit"}), (GuestEnd.TIMEOUT, {"exit"}), (GuestEnd.SIGNALED, set())],
)
def test_end_of_a_guest_is_kept_unless_the_interruption_is_why(got: GuestEnd, kept: set[str]) -> None:
    exits = (GuestExits(got=got, count=3),)
    assert codes(interrupted(with_run(healthy(), DEV, exits=exits))) == {"interrupted", *kept}


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Outcome.CRASHED, {"trouble"}), (Outcome.TIMEOUT, {"trouble"}), (Outcome.ERROR, set())],
)
def test_run_that_broke_off_before_an_interruption_is_kept(outcome: Outcome, kept: set[str]) -> None:
    trouble = Trouble(what="preflight", message="panic: at frame.rs:1", run=DEV, outcome=outcome)
    assert codes(interrupted(replace(healthy(), errors=(trouble,)))) == {"interrupted", *kept}


def test_tests_that_nobody_planned_are_told_what_was_seen_before_an_interruption_alone() -> None:
    layout = replace(healthy().runs[0].layout, guest_bytes=Witness.DIFFERS)
    broken = replace(healthy().runs[0], guests_booted=0, exits=(), invariants={}, layout=layout)
    evidence = replace(healthy(), runs=(broken,))
    whole = {reason.code for reason in judge_runs(evidence, FRAME_METADATA)}
    assert whole == {"layout-witness", "no-guest", "no-invariants"}
    stopped = judge_runs(replace(evidence, interrupted=True), FRAME_METADATA)
    assert {reason.code for reason in stopped} == {"layout-witness"}
