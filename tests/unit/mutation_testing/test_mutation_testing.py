"""Proves how mutants are judged and reported, on values: no guest, no build."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace as with_fields
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from frame_harness.base.errors import UsageError
from frame_harness.base.record import Record
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.done import Reason as Why
from frame_harness.campaigns.plan import Settings
from frame_harness.cli.mutate import MutateRequest, again, mutate, status
from frame_harness.cli.mutate_grounds import FrameGround
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report import shell
from frame_harness.judge.conjuncts import Reason
from frame_harness.judge.evidence import Level, Outcome
from frame_harness.judge.exit_codes import ExitCode, Kind
from frame_harness.judge.verdict import Verdict
from frame_harness.machine.definition import load_machine
from frame_harness.mutation.mutants import Mutant, Operator
from frame_harness.mutation_testing import score
from frame_harness.mutation_testing.campaign import Choice, Course, Ground
from frame_harness.mutation_testing.explained import Explanation, load
from frame_harness.mutation_testing.hang_limits import with_hang_limits
from frame_harness.mutation_testing.judging import told_once
from frame_harness.mutation_testing.order import Candidate, Tier, in_order, tier
from frame_harness.mutation_testing.page import dumps
from frame_harness.mutation_testing.records import Fate, How, Judged, Report
from frame_harness.mutation_testing.reference import KnownReason, kill_by_reasons
from frame_harness.mutation_testing.terminal import print_report, score_line, summary
from tests.support.mutant_samples import (
    ALL,
    DEC,
    DEV,
    INC,
    ORDERS,
    RUN,
    TEXT,
    judged,
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
    reason = Reason(kind=Kind.CRASH, code="guest-exit", message="status 35", run=RUN)
    verdict = Verdict(kind=Kind.CRASH, reasons=(reason,))
    assert reference().new_reasons(verdict) == (reason,)
    own = KnownReason(kind=Kind.CRASH, code="guest-exit", run=RUN)
    assert reference(reasons=(own,)).new_reasons(verdict) == ()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (Kind.CRASH, How.CRASH),
        (Kind.TIMEOUT, How.HANG),
        (Kind.FAIL, How.NO_PASS),
        (Kind.NO_TESTS, How.NO_PASS),
    ],
)
def test_a_run_that_is_no_pass_kills_by_what_it_is(kind: Kind, how: How) -> None:
    kill = kill_by_reasons([Reason(kind=kind, code="x", message="said")])
    assert kill is not None
    assert (kill.how, kill.message) == (how, "said")


def test_an_error_is_no_kill() -> None:
    assert kill_by_reasons([Reason(kind=Kind.ERROR, code="x", message="said")]) is None


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


# Campaigns and reports

FATES = {
    "a" * 12: Fate.KILLED,
    "b" * 12: Fate.SURVIVED,
    "c" * 12: Fate.EQUIVALENT,
    "d" * 12: Fate.DOES_NOT_COMPILE,
}


class Nothing(Record, frozen=True, kw_only=True):
    """A task of no content but the key, and how much is asked."""

    key: str
    one_run: bool = False


def by_table(task: Nothing) -> Judged:
    return judged(FATES[task.key], key=task.key, every_run=not task.one_run)


def ground(work: Callable[[Nothing], Judged] = by_table) -> Ground:
    return Ground(
        texts={"frame.rs": TEXT.encode()}, reference=reference(), contract=FRAME_METADATA, work=work,
        task=lambda one, one_run: Nothing(key=one.key, one_run=one_run), identity="1", files=(),
    )  # fmt: skip


def course(
    folder: Path,
    *,
    resume: bool = False,
    work: Callable[[Nothing], Judged] = by_table,
    reasons: dict[str, Explanation] | None = None,
    every_run: bool = False,
) -> Course:
    mutants = [mutant(key=key) for key in (*FATES, *(f"{number:012}" for number in range(5)))]
    chosen = mutants[: len(FATES)]
    made = Course(ground(work), chosen, mutants, Choice(sample=4), lambda _: None, reasons or {}, every_run)
    made.run(Settings(workers=0, scheduler=None, folder=folder, resume=resume, say=None))
    return made


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return course(tmp_path / "campaign").report()


def test_the_score_leaves_out_what_is_equivalent_or_does_not_compile(report: Report) -> None:
    assert report.total.score == 0.5
    assert score_line(report) == "SCORE 50 %: 1 killed, 1 survived; 1 equivalent, 1 not compiled"
    assert (report.generated, report.selection) == (9, "a sample of 4, seed 1")


def test_a_survivor_is_reported_with_its_diff_and_the_clauses(report: Report) -> None:
    (survivor,) = report.of(Fate.SURVIVED)
    assert "+    let old = self.count.fetch_sub(1, Relaxed);" in survivor.diff
    assert (survivor.reached_by, [one.clause for one in survivor.clues]) == (2, ["REF-07"])
    assert all(not one.clues for one in report.mutants if one is not survivor)


def test_a_campaign_that_goes_on_judges_no_mutant_twice(tmp_path: Path) -> None:
    first = course(tmp_path / "campaign").report()

    def never(_: Nothing) -> Judged:
        raise AssertionError("judged again")

    again = course(tmp_path / "campaign", resume=True, work=never).report()
    assert again.mutants == first.mutants


def test_a_mutant_that_the_harness_could_not_judge_is_judged_when_the_campaign_goes_on(
    tmp_path: Path,
) -> None:
    def full(task: Nothing) -> Judged:
        fate = FATES[task.key]
        return judged(Fate.ERROR if fate is Fate.KILLED else fate, key=task.key)

    asked = []

    def noted(task: Nothing) -> Judged:
        asked.append(task.key)
        return by_table(task)

    first = course(tmp_path / "campaign", work=full).report()
    assert status(first.total, 0) is ExitCode.ERROR
    again = course(tmp_path / "campaign", resume=True, work=noted).report()
    assert asked == [one.mutant.key for one in first.of(Fate.ERROR)] and len(asked) == 1
    assert (again.total.errors, again.total.score) == (0, 0.5)
    course(tmp_path / "campaign", resume=True, work=noted)
    assert len(asked) == 1, "the later line counts"


def test_a_stopped_campaign_reports_what_came_until_then(tmp_path: Path) -> None:
    def stops(task: Nothing) -> Judged:
        if FATES[task.key] is Fate.EQUIVALENT:
            raise KeyboardInterrupt
        return by_table(task)

    found = course(tmp_path / "campaign", work=stops).report()
    assert (found.interrupted, len(found.mutants)) == (True, 2)


def test_the_report_as_json_is_read_back_as_it_was(report: Report) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_the_exit_status_says_whether_the_score_is_high_enough(report: Report) -> None:
    assert status(report.total, 50) is ExitCode.PASS
    assert status(report.total, 51) is ExitCode.FAIL


def test_an_error_outranks_the_score(report: Report) -> None:
    total = replace(report.total, errors=1, survived=0)
    assert status(total, 0) is ExitCode.ERROR


def test_where_nothing_was_judged_the_campaign_does_not_pass(report: Report) -> None:
    total = replace(report.total, killed=0, survived=0)
    assert status(total, 0) is ExitCode.NO_TESTS


def test_a_survivor_with_a_reason_is_told_apart_and_needs_no_other_check(tmp_path: Path) -> None:
    words = {"b" * 12: "the order is not promised", "a" * 12: "old", "1" * 12: "gone", f"{1:012}": "later"}
    reasons = {
        key: Explanation(mutant=key, function=mutant().function, why=why) for key, why in words.items()
    }
    report = course(tmp_path / "campaign", reasons=reasons).report()
    assert report.unexplained == ()
    assert [one.explained for one in report.mutants if one.explained] == ["the order is not promised"]
    assert score_line(report).startswith("SCORE 50 %: 1 killed, 1 survived (1 explained)")
    assert report.idle_reasons == (
        "111111111111: no such mutant is made of this text",
        "aaaaaaaaaaaa: it did not survive",
    )
    out = io.StringIO()
    print_report(report, Console(file=out, width=80), "frame-harness mutate --again")
    assert "explained the order is not promised" in out.getvalue()
    assert "a reason that nothing needs: aaaaaaaaaaaa: it did not survive" in out.getvalue()


def test_a_survivor_that_a_reason_calls_equivalent_does_not_lower_the_score_and_is_listed(
    tmp_path: Path,
) -> None:
    key = "b" * 12
    reasons = {key: Explanation(mutant=key, function=mutant().function, why="0 is aligned", equivalent=True)}
    report = course(tmp_path / "campaign", reasons=reasons).report()
    assert report.unexplained == () and report.of(Fate.SURVIVED) == ()
    assert [one.judged.fate for one in report.explained_equivalents] == [Fate.SURVIVED]
    assert score_line(report).startswith("SCORE 100 %: 1 killed, 0 survived; 2 equivalent (1 by a reason)")
    out = io.StringIO()
    print_report(report, Console(file=out, width=80), "frame-harness mutate --again")
    assert f"equivalent {key}" in out.getvalue() and "explained 0 is aligned" in out.getvalue()
    assert "0 is aligned" in dumps(report, {"frame.rs": TEXT})


def of(key: str, function: str = "") -> dict[str, Explanation]:
    """A reason for one mutant."""
    return {key: Explanation(mutant=key, function=function or mutant().function, why="REF-01 asks for less")}


def test_a_mutant_with_a_reason_is_judged_in_one_run_and_the_report_says_so(tmp_path: Path) -> None:
    report = course(tmp_path / "campaign", reasons=of("b" * 12)).report()
    assert [one.mutant.key for one in report.mutants if not one.judged.every_run] == ["b" * 12]
    said = "except 1 with a reason: these were judged in one run (--every-run: in all)"
    assert said in list(summary(report))
    whole = course(tmp_path / "whole", reasons=of("b" * 12), every_run=True).report()
    assert (whole.of_one_run, said in list(summary(whole))) == (0, False)


def test_a_mutant_with_the_reason_of_another_function_is_judged_in_every_run(tmp_path: Path) -> None:
    report = course(tmp_path / "campaign", reasons=of("b" * 12, "elsewhere")).report()
    assert (report.of_one_run, len(report.unexplained)) == (0, 1)


@pytest.mark.parametrize("every_run", [True, False], ids=["every run is asked for", "the reason is gone"])
def test_what_survived_one_run_is_judged_again_where_that_is_not_enough(
    tmp_path: Path, every_run: bool
) -> None:
    asked: list[Nothing] = []

    def noted(task: Nothing) -> Judged:
        asked.append(task)
        return by_table(task)

    course(tmp_path / "campaign", reasons=of("b" * 12))
    course(tmp_path / "campaign", reasons=of("b" * 12), resume=True, work=noted)
    assert asked == []
    reasons = of("b" * 12) if every_run else {}
    report = course(
        tmp_path / "campaign", reasons=reasons, every_run=every_run, resume=True, work=noted
    ).report()
    assert asked == [Nothing(key="b" * 12)]
    assert report.of_one_run == 0


def test_where_each_survivor_has_a_reason_any_score_passes_unless_one_is_asked_for(report: Report) -> None:
    assert status(report.total, None) is ExitCode.FAIL
    assert status(report.total, None, explained=True) is ExitCode.PASS
    assert status(report.total, 51, explained=True) is ExitCode.FAIL


def test_a_survivor_without_a_reason_is_told(report: Report) -> None:
    assert [one.mutant.key for one in report.unexplained] == ["b" * 12]


class NeverJudged:
    """A subject that nobody may judge."""

    def texts(self) -> dict[str, bytes]:
        return {"frame.rs": TEXT.encode()}

    def made(self, *_: object) -> Ground:
        raise AssertionError("judged")


@pytest.mark.parametrize(
    "ask",
    [
        lambda request: mutate(with_fields(request, choice=Choice(functions=("nosuch*",)))),
        lambda request: again(request, "zz"),
    ],
    ids=["a choice of none", "a key of none"],
)
def test_mutants_that_are_not_there_are_refused_before_the_subject_is_judged(
    ask: Callable[[MutateRequest], ExitCode],
) -> None:
    request = MutateRequest(cast("FrameGround", NeverJudged()), command="")
    with pytest.raises(UsageError, match=r"got (none|0 mutants)"):
        ask(request)


ENTRY = '[[survivor]]\nmutant = "a"\nfunction = "f"\nwhy = "{}"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY.format(" "), "a: no reason"),
        (ENTRY.format("x") * 2, "a: two reasons"),
        (ENTRY.format("x").replace("why", "because"), "because"),
        ("[[survivor", "survivor"),
        (None, "No such file"),
    ],
    ids=["empty", "twice", "unknown field", "no TOML", "no file"],
)
def test_a_file_of_reasons_that_cannot_be_used_is_refused_in_one_line(
    text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "survivors.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.summary.startswith(f"--explained: {path}: ")
    assert words in caught.value.summary


def test_the_terminal_report_fits_eighty_columns(report: Report) -> None:
    out = io.StringIO()
    print_report(report, Console(file=out, width=80), "frame-harness mutate --again")
    lines = out.getvalue().splitlines()
    shown = [line for line in lines if not line.lstrip().startswith(("again", "REF-"))]
    assert [line for line in shown if len(line) > 80 and "clauses" not in line] == []
    assert lines[-1].startswith("SCORE 50 %")


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.rows.append((tag, dict(attrs)))


def test_the_page_asks_for_nothing_and_marks_survivors_in_the_source(report: Report) -> None:
    text = dumps(report, {"frame.rs": TEXT})
    rows = Page(text).rows
    policy = next(attrs["content"] for tag, attrs in rows if "Content-Security-Policy" in attrs.values())
    assert (
        policy
        == f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {shell.sha(shell.style())}"
    )
    assert not {tag for tag, _ in rows} & {"script", "link", "img", "iframe"}
    assert not [attrs for _, attrs in rows if "style" in attrs or "src" in attrs]
    marked = [attrs for tag, attrs in rows if tag == "span" and attrs.get("class") == "row not-hit"]
    assert [attrs["title"] for attrs in marked] == ["1 mutant survived, 1 killed"]
    targets = {attrs["id"] for _, attrs in rows if attrs.get("id")}
    links = {str(attrs["href"]) for tag, attrs in rows if tag == "a"}
    assert {link.removeprefix("#") for link in links} <= targets


def test_no_word_of_a_mutant_becomes_markup_of_the_page(report: Report) -> None:
    evil = "<script>alert(1)</script>"
    bad = tuple(
        replace(one, diff=f"\n\n+{evil}", mutant=replace(one.mutant, function=evil)) for one in report.mutants
    )
    text = dumps(replace(report, mutants=bad), {"frame.rs": TEXT + f'const A: &str = "{evil}";\n'})
    assert evil not in text


def test_functions_and_operators_choose_mutants() -> None:
    mutants = [mutant(), mutant(key="e" * 12, function="Slot::dec", operator=Operator.BIT)]
    assert Choice(functions=("Slot::*",)).of(mutants) == mutants[1:]
    assert Choice(operators=(Operator.WRONG_FIELD,)).of(mutants) == mutants[:1]


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="functions nobody"):
        Choice(functions=("nobody",)).of([mutant()])


def test_a_lost_task_is_an_error_that_is_shown(tmp_path: Path) -> None:
    made = course(tmp_path / "campaign")
    made._take(mutant(key="a" * 12), Lost(reason=Why.DIED, detail="signal SIGSEGV"))
    found = made.report()
    assert [one.judged.why for one in found.of(Fate.ERROR)] == ["its task died, twice: signal SIGSEGV"]
    assert found.total.errors == 1
