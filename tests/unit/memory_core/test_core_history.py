"""Proves that the search over a history names a version only where both sides of it were seen."""

from __future__ import annotations

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.memory_core.history import FollowAnswer, Shown, next_step

SIGNS = {"G": Shown.GOOD, "B": Shown.BAD, "?": Shown.UNKNOWN}
HISTORIES = st.lists(st.sampled_from(sorted(SIGNS)), min_size=1, max_size=40).map("".join)


def search(history: str) -> tuple[FollowAnswer, list[int]]:
    """Play what is asked for until there is an answer; with the versions that were played, in order."""
    seen: dict[int, Shown] = {}
    played: list[int] = []
    while not isinstance(step := next_step(len(history), seen), FollowAnswer):
        assert step and not set(step) & seen.keys(), "it asks for what was seen, or for nothing"
        played += step
        seen |= {at: SIGNS[history[at]] for at in step}
    return step, played


@pytest.mark.parametrize(
    ("history", "good", "bad"),
    [
        ("GGGGBBBB", 3, 4),
        ("GB", 0, 1),
        ("GGGGGGGB", 6, 7),
        ("GBBBBBBB", 0, 1),
        ("BBBBBBBB", None, 0),
        ("B", None, 0),
        # Versions that tell nothing.
        ("GGG??BBB", 2, 5),
        ("GG?GB?BB", 3, 4),
        ("????GBBB", 4, 5),
        ("????BBBB", None, 4),
        ("G??????B", 0, 7),
        ("?GG?BBBB", 2, 4),
        ("??B?BBBB", None, 2),
        ("???????B", None, 7),
        # The newest does not show it.
        ("GGGGBBBG", None, None),
        ("BBBB???" + "?", None, None),
        # It came, went, and came again.
        ("GBBGGGBB", 5, 6),
        ("BGGGGGGB", None, 0),
    ],
)
def test_fault_is_followed_to_where_it_came(history: str, good: int | None, bad: int | None) -> None:
    assert search(history)[0] == FollowAnswer(good, bad)


def test_the_ends_are_played_at_once_and_first() -> None:
    assert next_step(9, {}) == (8, 0)
    assert next_step(1, {}) == (0,)


def test_what_was_seen_for_another_fault_is_used() -> None:
    seen = {7: Shown.BAD, 0: Shown.GOOD, 2: Shown.BAD, 4: Shown.GOOD}
    assert next_step(8, seen) == (6,), "the fault came again behind version 4"
    assert next_step(8, seen | {6: Shown.BAD, 5: Shown.BAD}) == FollowAnswer(4, 5)


@given(st.integers(1, 300), st.data())
def test_a_plain_history_takes_few_plays(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count))
    answer, played = search("G" * first_bad + "B" * count)
    assert answer == FollowAnswer(first_bad - 1, first_bad)
    assert len(played) <= 3 + log2(first_bad + count)


@given(HISTORIES)
def test_no_answer_says_more_than_was_seen(history: str) -> None:
    answer, played = search(history)
    assert len(played) == len(set(played)) <= len(history)
    if answer.bad is None:
        assert answer.good is None and history[-1] != "B"
        return
    assert history[answer.bad] == "B" and answer.bad in played
    if answer.good is not None:
        assert history[answer.good] == "G" and answer.good in played
        assert all(history[at] == "?" and at in played for at in range(answer.good + 1, answer.bad))
    elif answer.bad:
        assert all(history[at] == "?" and at in played for at in (answer.bad - 1, 0))


@given(st.integers(1, 500), st.integers(1, 500))
def test_old_versions_of_another_kind_cost_few_plays(silent: int, judged: int) -> None:
    answer, played = search("?" * silent + "B" * judged)
    assert answer == FollowAnswer(None, silent)
    assert len(played) <= 4 + 2 * log2(silent + judged)


@given(HISTORIES.map(lambda between: f"G{between}B"))
def test_fault_with_a_good_and_a_bad_end_is_always_placed(history: str) -> None:
    answer, _ = search(history)
    assert answer.good is not None and answer.bad is not None
