"""A history is shortened to what a fresh guest shows, too; no guest is needed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.frame_histories import shortening
from frame_harness.frame_histories.attribution import Blame
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import Command, Op, Recipe
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.history import HistoryFailure
from frame_harness.frame_histories.shortening import script_of, shortest
from frame_harness.frame_histories.steps import Step
from frame_harness.machine.definition import load_machine

STEP = Step(0, Op.ALLOC, (Recipe(),))
FAILURE = HistoryFailure(
    Blame("ALLOC-02", "", frozenset()),
    HistoryDifference("slot", "slot", "1", "2", field="flags"),
    (STEP, STEP._replace(number=1)),
    (Command(Op.ALLOC, (Recipe(),)),) * 2,
    Look.AT_THE_END,
)


class FakeGuest:
    """Plays nothing: each history shows the same until it was renewed."""

    def __init__(self, *, when_fresh: HistoryFailure | None) -> None:
        self.shows: HistoryFailure | None = FAILURE
        self._when_fresh = when_fresh
        self.host = SimpleNamespace(
            machine=load_machine("q35"),
            image=SimpleNamespace(profile="dev", subject=SimpleNamespace(name="frame.rs", sha256="0" * 64)),
        )
        self.boot_config = ISLANDS

    def renew(self) -> None:
        self.shows = self._when_fresh


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the histories that were played."""
    lengths = list[int]()

    def play(guest: Any, steps: Any) -> HistoryFailure | None:
        lengths.append(len(steps))
        return guest.shows if guest.shows is None else replace(guest.shows, steps=tuple(steps))

    monkeypatch.setattr(shortening, "play_again", play)
    return lengths


def test_what_a_fresh_guest_shows_of_the_shortest_is_the_failure(played: list[int]) -> None:
    guest: Any = FakeGuest(when_fresh=FAILURE)
    assert shortest(guest, FAILURE, "1:0").clause == "ALLOC-02"
    assert played[-1] < len(FAILURE.steps)


def test_a_history_that_a_fresh_guest_does_not_show_is_an_error(played: list[int]) -> None:
    nothing: Any = FakeGuest(when_fresh=None)
    with pytest.raises(HarnessError, match="history: 1:0: expected ALLOC-02 on a fresh guest, got nothing"):
        shortest(nothing, FAILURE, "1:0")
    other: Any = FakeGuest(when_fresh=replace(FAILURE, difference=replace(FAILURE.difference, field="guard")))
    with pytest.raises(HarnessError, match="fresh guest, got ALLOC-02"):
        shortest(other, FAILURE, "1:0", lambda failure: failure.difference.field)


def test_a_failure_of_a_batch_alone_is_left_as_it_is(played: list[int]) -> None:
    failure = replace(FAILURE, only_in_batch=True)
    guest: Any = FakeGuest(when_fresh=None)
    assert shortest(guest, failure, "1:0") is failure and played == []


def test_a_script_says_what_was_seen_where(played: list[int]) -> None:
    guest: Any = FakeGuest(when_fresh=FAILURE)
    script = script_of(guest, FAILURE, "1:0", "slot flags")
    assert (script.machine, script.profile, script.clause, script.cause) == (
        "q35",
        "dev",
        "ALLOC-02",
        "slot flags",
    )
    assert script.seen.endswith(f"(seen {Look.AT_THE_END.value})") and list(script.remarks) == [1]
