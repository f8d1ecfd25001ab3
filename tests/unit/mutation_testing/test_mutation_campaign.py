"""Proves that a campaign judges each mutant once, and what its reports say: no guest, no build."""

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

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.record import Record
from frame_harness.campaigns.done import LossReason as Why
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.plan import Settings
from frame_harness.cli.mutate import MutateRequest, again, mutate, status
from frame_harness.cli.mutate_grounds import FrameGround
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report import shell
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation_testing.campaign import Choice, Course, Ground
from frame_harness.mutation_testing.explained import SurvivorExplanation, load
from frame_harness.mutation_testing.page import dumps
from frame_harness.mutation_testing.records import Fate, JudgedMutant, MutationReport, Share
from frame_harness.mutation_testing.terminal import print_report, score_line, summary
from tests.support.mutant_samples import (
    TEXT,
    judged,
    mutant,
    reference,
)

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


def by_table(task: Nothing) -> JudgedMutant:
    return judged(FATES[task.key], key=task.key, every_run=not task.one_run)


def ground(work: Callable[[Nothing], JudgedMutant] = by_table) -> Ground:
    return Ground(
        texts={"frame.rs": TEXT.encode()}, reference=reference(), contract=FRAME_METADATA, work=work,
        task=lambda one, one_run: Nothing(key=one.key, one_run=one_run), identity="1", files=(),
    )  # fmt: skip


def course(
    folder: Path,
    *,
    resume: bool = False,
    work: Callable[[Nothing], JudgedMutant] = by_table,
    reasons: dict[str, SurvivorExplanation] | None = None,
    every_run: bool = False,
) -> Course:
    mutants = [mutant(key=key) for key in (*FATES, *(f"{number:012}" for number in range(5)))]
    chosen = mutants[: len(FATES)]
    made = Course(ground(work), chosen, mutants, Choice(sample=4), lambda _: None, reasons or {}, every_run)
    made.run(Settings(workers=0, scheduler=None, folder=folder, resume=resume, say=None))
    return made


@pytest.fixture
def report(tmp_path: Path) -> MutationReport:
    return course(tmp_path / "campaign").report()


def test_the_score_leaves_out_what_is_equivalent_or_does_not_compile(report: MutationReport) -> None:
    assert report.total.score == 0.5
    assert score_line(report) == "SCORE 50 %: 1 killed, 1 survived; 1 equivalent, 1 not compiled"
    assert (report.generated, report.selection) == (9, "a sample of 4, seed 1")


def test_a_survivor_is_reported_with_its_diff_and_the_clauses(report: MutationReport) -> None:
    (survivor,) = report.of(Fate.SURVIVED)
    assert "+    let old = self.count.fetch_sub(1, Relaxed);" in survivor.diff
    assert (survivor.reached_by, [one.clause for one in survivor.clues]) == (2, ["REF-07"])
    assert all(not one.clues for one in report.mutants if one is not survivor)


def test_a_campaign_that_goes_on_judges_no_mutant_twice(tmp_path: Path) -> None:
    first = course(tmp_path / "campaign").report()

    def never(_: Nothing) -> JudgedMutant:
        raise AssertionError("judged again")

    again = course(tmp_path / "campaign", resume=True, work=never).report()
    assert again.mutants == first.mutants


def test_a_mutant_that_the_harness_could_not_judge_is_judged_when_the_campaign_goes_on(
    tmp_path: Path,
) -> None:
    def full(task: Nothing) -> JudgedMutant:
        fate = FATES[task.key]
        return judged(Fate.ERROR if fate is Fate.KILLED else fate, key=task.key)

    asked = []

    def noted(task: Nothing) -> JudgedMutant:
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
    def stops(task: Nothing) -> JudgedMutant:
        if FATES[task.key] is Fate.EQUIVALENT:
            raise KeyboardInterrupt
        return by_table(task)

    found = course(tmp_path / "campaign", work=stops).report()
    assert (found.interrupted, len(found.mutants)) == (True, 2)


def test_the_report_of_a_campaign_that_broke_off_says_that_it_is_not_whole(tmp_path: Path) -> None:
    """A score of the few that were judged would be taken for that of all."""

    def gone(task: Nothing) -> JudgedMutant:
        if FATES[task.key] is Fate.SURVIVED:
            raise HarnessError("scheduler", detail="is gone")
        return by_table(task)

    mutants = [mutant(key=key) for key in FATES]
    made = Course(ground(gone), mutants, mutants, Choice(), lambda _: None)
    with pytest.raises(HarnessError, match="is gone"):
        made.run(Settings(0, None, tmp_path, False, None))
    found = made.report()
    assert (found.interrupted, len(found.mutants), found.score) == (True, 1, 1.0)
    assert score_line(found).startswith("interrupted; SCORE 100 %")
    assert 'class="verdict is-good"' not in dumps(found, {"frame.rs": TEXT})


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [({}, True), ({"survived": 1}, False), ({"errors": 1}, False), ({"killed": 0}, False)],
    ids=["all killed", "a survivor", "an error", "none judged"],
)
def test_only_a_campaign_that_missed_no_mutant_is_shown_as_good(
    changes: dict[str, int], is_good: bool, report: MutationReport
) -> None:
    total = replace(Share(name="all", killed=3, survived=0, equivalent=1), **changes)
    assert replace(report, total=total, score=total.score).is_good is is_good


def test_the_report_as_json_is_read_back_as_it_was(report: MutationReport) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=MutationReport) == report


def test_the_exit_status_says_whether_the_score_is_high_enough(report: MutationReport) -> None:
    assert status(report.total, 50) is ExitCode.PASS
    assert status(report.total, 51) is ExitCode.FAIL


@pytest.mark.parametrize("killed", range(101))
def test_a_score_that_is_as_high_as_asked_for_passes(killed: int) -> None:
    total = Share(name="all", killed=killed, survived=100 - killed)
    assert status(total, killed) is ExitCode.PASS
    assert status(total, killed + 1) is ExitCode.FAIL


def test_an_error_outranks_the_score(report: MutationReport) -> None:
    total = replace(report.total, errors=1, survived=0)
    assert status(total, 0) is ExitCode.ERROR


def test_where_nothing_was_judged_the_campaign_does_not_pass(report: MutationReport) -> None:
    total = replace(report.total, killed=0, survived=0)
    assert status(total, 0) is ExitCode.NO_TESTS


def test_a_survivor_with_a_reason_is_told_apart_and_needs_no_other_check(tmp_path: Path) -> None:
    words = {"b" * 12: "the order is not promised", "a" * 12: "old", "1" * 12: "gone", f"{1:012}": "later"}
    reasons = {
        key: SurvivorExplanation(mutant=key, function=mutant().function, why=why)
        for key, why in words.items()
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


def test_a_reason_for_a_mutant_that_could_not_be_judged_may_be_needed(tmp_path: Path) -> None:
    def fails(task: Nothing) -> JudgedMutant:
        return judged(Fate.ERROR, key=task.key)

    reasons = {"a" * 12: SurvivorExplanation(mutant="a" * 12, function=mutant().function, why="no promise")}
    assert course(tmp_path / "campaign", work=fails, reasons=reasons).report().idle_reasons == ()


def test_a_survivor_that_a_reason_calls_equivalent_does_not_lower_the_score_and_is_listed(
    tmp_path: Path,
) -> None:
    key = "b" * 12
    reasons = {
        key: SurvivorExplanation(mutant=key, function=mutant().function, why="0 is aligned", equivalent=True)
    }
    report = course(tmp_path / "campaign", reasons=reasons).report()
    assert report.unexplained == () and report.of(Fate.SURVIVED) == ()
    assert [one.judged.fate for one in report.explained_equivalents] == [Fate.SURVIVED]
    assert score_line(report).startswith("SCORE 100 %: 1 killed, 0 survived; 2 equivalent (1 by a reason)")
    out = io.StringIO()
    print_report(report, Console(file=out, width=80), "frame-harness mutate --again")
    assert f"equivalent {key}" in out.getvalue() and "explained 0 is aligned" in out.getvalue()
    assert "0 is aligned" in dumps(report, {"frame.rs": TEXT})


def of(key: str, function: str = "") -> dict[str, SurvivorExplanation]:
    """A reason for one mutant."""
    return {
        key: SurvivorExplanation(
            mutant=key, function=function or mutant().function, why="REF-01 asks for less"
        )
    }


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

    def noted(task: Nothing) -> JudgedMutant:
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


def test_where_each_survivor_has_a_reason_any_score_passes_unless_one_is_asked_for(
    report: MutationReport,
) -> None:
    assert status(report.total, None) is ExitCode.FAIL
    assert status(report.total, None, explained=True) is ExitCode.PASS
    assert status(report.total, 51, explained=True) is ExitCode.FAIL


def test_a_survivor_without_a_reason_is_told(report: MutationReport) -> None:
    assert [one.mutant.key for one in report.unexplained] == ["b" * 12]


class NeverJudged:
    """A subject that nobody may judge."""

    read = ()

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


def test_the_terminal_report_fits_eighty_columns(report: MutationReport) -> None:
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


def test_the_page_asks_for_nothing_and_marks_survivors_in_the_source(report: MutationReport) -> None:
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


def test_the_page_says_what_is_known_of_a_survivor_and_counts_each_end(report: MutationReport) -> None:
    [survivor] = report.of(Fate.SURVIVED)
    nobody = replace(survivor, reached_by=0, judged=replace(survivor.judged, checks=1))
    rows = (Share(name="swap", killed=3, survived=0, not_linked=77),)
    text = dumps(replace(report, mutants=(nobody,), by_operator=rows), {"frame.rs": TEXT})
    assert "1 survivor: what nobody would notice" in text
    assert "reached by an unknown number of checks; 1 made in all" in text
    assert ">not in the kernel</th>" in text and '<td class="number">77</td>' in text


def test_no_word_of_a_mutant_becomes_markup_of_the_page(report: MutationReport) -> None:
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
