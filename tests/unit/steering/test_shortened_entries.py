"""Proves that what a kept history shows is a finding, also where steps of it are left out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.frame_histories.attribution import Blame
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import Command, Op
from frame_harness.frame_histories.differences import Look
from frame_harness.frame_histories.history import HistoryFailure
from frame_harness.frame_histories.steps import Step
from frame_harness.steering import campaign
from frame_harness.steering.campaign import Campaign, Failed
from frame_harness.steering.features import Feature, FeatureKind
from frame_harness.steering.player import PlayedHistory

STEPS = tuple(Step(number, Op.DRAIN) for number in range(20))
RARE: Feature = (FeatureKind.BRANCH, 1)
DIFFERENCE: Any = SimpleNamespace(kind="slot", field="flags", got_status="", line="flags differ")
BLAME = Blame("GUARD-01", "f", frozenset({"f"}))
FAILURE = HistoryFailure(BLAME, DIFFERENCE, (), (), Look.AT_THE_END)

Shows = Callable[[Sequence[Step]], bool]


class Player:
    """Plays steps that a writer is; they show a failure where a test says so."""

    counting, commands = object(), 0

    def __init__(self, shows: Shows, *, confirms: bool = True) -> None:
        self._shows, self._confirms = shows, confirms
        self.played: list[Sequence[Step]] = []

    def play(self, steps: Sequence[Step], *_: object) -> PlayedHistory:
        self.played.append(steps)
        failure = FAILURE if self._shows(steps) else None
        commands = tuple(Command(Op.DRAIN) for _ in steps)
        return PlayedHistory(failure, tuple(steps), commands, {RARE: len(steps)})

    def confirm(self, failure: HistoryFailure, _: object) -> HistoryFailure | None:
        return failure if self._confirms else None


@pytest.fixture(autouse=True)
def _writers_are_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Varied", "Lifted"):
        monkeypatch.setattr(campaign, name, lambda steps, *_: steps)
    monkeypatch.setattr(campaign, "varied", lambda steps, *_: steps)
    monkeypatch.setattr(campaign, "FRESH_SHARE", 0)


def begun(player: Player, steps: tuple[Step, ...] = STEPS) -> Campaign:
    """A campaign with one entry that was varied before."""
    found = Campaign(player, 1)  # type: ignore[arg-type]
    [entry] = found.corpus.add(
        PlayedHistory(None, STEPS, tuple(Command(Op.DRAIN) for _ in STEPS), {RARE: len(STEPS)}),
        ISLANDS,
        "kept",
    )
    entry.steps, entry.chosen = steps, 1
    return found


def next_one(steered: Campaign) -> Failed | None:
    return steered._steered_one("next", random.Random(1), ())


def test_what_a_history_shows_without_a_step_is_a_finding() -> None:
    failed = next_one(begun(Player(lambda steps: STEPS[12] not in steps)))
    assert failed is not None and (failed.failure, failed.name) == (FAILURE, "kept")


def test_what_a_history_of_another_process_shows_is_a_finding_and_the_entry_goes() -> None:
    steered = begun(Player(lambda _: True), steps=())
    failed = next_one(steered)
    assert failed is not None and failed.failure is FAILURE
    assert not steered.corpus.entries


def test_what_the_judged_image_does_not_show_is_noted_and_the_entry_is_varied() -> None:
    player = Player(lambda steps: STEPS[12] not in steps, confirms=False)
    steered = begun(player)
    assert next_one(steered) is None and len(steered.tally.unconfirmed) == 1
    assert STEPS[12] in player.played[-1] and len(player.played) > 2


def test_an_entry_of_a_sound_module_is_made_shorter_and_varied() -> None:
    player = Player(lambda _: False)
    assert next_one(begun(player)) is None
    assert min(map(len, player.played)) < len(STEPS) // 2
