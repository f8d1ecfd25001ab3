"""What is kept of histories, how they are varied, and when two findings are one; no guest is needed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.frame_histories.attribution import Blame
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import Command, Op, Recipe, decode
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.history import HistoryFailure
from frame_harness.frame_histories.script_files import is_script
from frame_harness.frame_histories.scripts import Script, parse
from frame_harness.frame_histories.steps import Got, Step
from frame_harness.steering.about import place_about, steps_about
from frame_harness.steering.campaign import Cause
from frame_harness.steering.corpus import Corpus, CorpusEntry, fewest
from frame_harness.steering.features import Feature, FeatureKind
from frame_harness.steering.folder import name_of, scripts
from frame_harness.steering.player import PlayedHistory
from frame_harness.steering.variation import MOST_STEPS, varied

ALLOCATED, STORED = Step(0, Op.ALLOC, (Recipe(),)), Step(1, Op.META_AUX_STORE, (Got(0), 7))
GIVEN_BACK = Step(2, Op.RELEASE, (Got(0), 0))
STEPS = (ALLOCATED, STORED, GIVEN_BACK)


def branch(number: int) -> Feature:
    return FeatureKind.BRANCH, number


def played(n_steps: int, reached: dict[Feature, int]) -> PlayedHistory:
    steps = tuple(Step(number, Op.DRAIN) for number in range(n_steps))
    return PlayedHistory(None, steps, tuple(Command(Op.DRAIN) for _ in steps), reached)


def entry(n_steps: int, *branches: int) -> CorpusEntry:
    commands = tuple(Command(Op.DRAIN) for _ in range(n_steps))
    return CorpusEntry((), commands, ISLANDS, f"{n_steps} steps", frozenset(map(branch, branches)))


def test_a_history_is_kept_up_to_where_it_reaches_something_new() -> None:
    corpus = Corpus()
    first = corpus.add(played(50, {branch(1): 20, branch(2): 40}), ISLANDS, "first")
    assert [len(kept.steps) for kept in first] == [40, 20]  # the second is the shorter way to one of them
    assert corpus.add(played(60, {branch(1): 20, branch(2): 40}), ISLANDS, "the same") == []
    [third] = corpus.add(played(60, {branch(1): 20, branch(3): 40}), ISLANDS, "third")
    assert len(third.commands) == 40 and third.best == {branch(3)}


def test_a_shorter_history_takes_the_place_of_those_that_it_surpasses() -> None:
    corpus = Corpus()
    corpus.add(played(40, {branch(1): 40}), ISLANDS, "long")
    [short] = corpus.add(played(10, {branch(1): 10}), ISLANDS, "short")
    assert corpus.entries == [short]


def test_an_entry_that_few_histories_reach_is_varied_more_often() -> None:
    corpus = Corpus()
    [common] = corpus.add(played(5, {branch(1): 5}), ISLANDS, "common")
    [rare] = corpus.add(played(9, {branch(2): 9}), ISLANDS, "rare")
    for _ in range(200):
        corpus.add(played(5, {branch(1): 5}), ISLANDS, "again")
    assert not corpus.rare_branches(common) and corpus.rare_branches(rare)
    rng = random.Random(1)
    chosen = [corpus.choose(rng) for _ in range(100)]
    assert chosen.count(rare) > 60 and common in chosen


def test_what_cannot_be_played_is_forgotten() -> None:
    corpus = Corpus()
    corpus.take(tuple(map(decode, ("alloc", "buddy.drain"))), ISLANDS, "sent", frozenset({branch(1)}))
    [sent] = corpus.entries
    corpus.drop(sent)
    assert not corpus.entries and not corpus.features
    assert corpus.add(played(3, {branch(1): 3}), ISLANDS, "own")


def test_fewest_histories_reach_what_all_do() -> None:
    all_of_it, half, other = entry(9, 1, 2, 3), entry(2, 1, 2), entry(3, 4)
    assert fewest([half, all_of_it, other]) == [all_of_it, other]
    assert fewest([entry(9, 1), short := entry(2, 1)]) == [short]
    assert fewest([]) == []


@pytest.mark.parametrize("seed", range(40))
def test_every_variation_names_each_step_once_and_only_steps_before(seed: int) -> None:
    rng = random.Random(seed)
    steps = list(STEPS)
    for _ in range(5):
        parts = varied(steps, STEPS, rng)
        steps = [part for part in parts if isinstance(part, Step)]
        numbers = [step.number for step in steps]
        assert len(set(numbers)) == len(numbers) and len(parts) <= MOST_STEPS
        named = {got.step for step in steps for got in step.operands if isinstance(got, Got)}
        assert all(isinstance(part, Step) or part > 0 for part in parts)
        assert named <= set(range(max(numbers, default=0) + 1))


def test_the_same_seed_varies_a_history_in_the_same_way() -> None:
    one, two = (varied(STEPS, STEPS, random.Random(5)) for _ in range(2))
    assert one == two


def test_steps_about_a_block_come_before_it_is_given_back() -> None:
    for seed in range(50):
        place = place_about(STEPS, random.Random(seed))
        assert place is not None
        at, got, claimed = place
        assert 1 <= at <= 2 and got == Got(0) and claimed
    assert place_about([Step(0, Op.DRAIN)], random.Random(1)) is None


def test_steps_about_a_block_that_nobody_claimed_leave_its_count_alone() -> None:
    counts = {Op.INC_REF, Op.DEC_REF, Op.CAS_REFCOUNT, Op.SET_REFCOUNT}
    loose = steps_about(Got(0), 300, 1, random.Random(1), claimed=False)
    owned = steps_about(Got(0), 300, 1, random.Random(1), claimed=True)
    assert not counts & {step.op for step in loose} and counts <= {step.op for step in owned}
    assert [step.number for step in owned] == list(range(1, len(owned) + 1))


# ---- causes and scripts -----------------------------------------------------------------------------------


def failure(
    clause: str = "FRAME-08", function: str = "MetaSlot::meta_aux_store", **other: object
) -> HistoryFailure:
    fields = {
        "kind": "slot",
        "what": "w",
        "expected": "1",
        "got": "2",
        "field": "meta_aux",
        "pfn": 7,
        **other,
    }
    blame = Blame(clause, function, frozenset({function}))
    return HistoryFailure(blame, HistoryDifference(**fields), (), (), Look.AT_THE_END)  # type: ignore[arg-type]


def test_findings_of_one_cause_are_one_whatever_frame_and_value_they_show() -> None:
    assert Cause.of(failure()) == Cause.of(failure(pfn=9, expected="3", got="4", what="elsewhere"))


@pytest.mark.parametrize(
    "other",
    [
        {"clause": "FRAME-07"},
        {"function": "FrameAllocOptions::allocate"},
        {"kind": "payload"},
        {"field": "guard"},
        {"got_status": "panic"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_place_or_kind_is_another_cause(other: dict[str, str]) -> None:
    assert Cause.of(failure()) != Cause.of(failure(**other))


def script(*lines: str, **more: str) -> Script:
    return replace(Script("q35", "dev", ISLANDS, tuple(map(decode, lines))), **more)  # type: ignore[arg-type]


def test_a_finding_is_named_by_its_cause_and_a_kept_history_by_its_commands() -> None:
    one, other = (script("alloc", clause="FRAME-08", cause=cause) for cause in ("slot a", "slot b"))
    assert one.file_name != other.file_name
    kept = [script("alloc", seed=seed, kept=seed) for seed in ("1:1", "2:7")]
    assert name_of(kept[0]) == name_of(kept[1]) != name_of(script("alloc", "buddy.drain"))


def test_why_a_script_was_kept_survives_its_file() -> None:
    saved = script("alloc", clause="FRAME-08", cause="slot a", kept="a branch in get_meta", seed="1:1")
    again = parse(saved.text, "file")
    assert (again.kept, again.cause, again.seed) == (saved.kept, saved.cause, saved.seed)


def test_only_a_first_line_makes_a_file_a_script(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "notes.txt").write_text("alloc\n")
    (folder / "script.txt").write_text(script("alloc").text)
    (folder / "script.md").write_text(script("alloc").text)
    (folder / "other.txt").write_text(script("alloc").text.replace("script 1", "script 2"))
    assert is_script(folder / "other.txt") and not is_script(folder)
    assert [path.name for path in scripts(folder)] == ["other.txt", "script.txt"]
    with pytest.raises(UsageError, match="expected `# frame-harness script 1` in its first line"):
        parse((folder / "other.txt").read_text(), "other.txt")
