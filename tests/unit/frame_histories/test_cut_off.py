"""Where the model cannot follow a history any further, others leave out what led there."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.frame_histories import campaign as campaigns
from frame_harness.frame_histories.campaign import HistoryTally, campaign
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.lockstep import Host
from frame_harness.guest.checks import NotEvaluated
from frame_harness.machine.definition import load_machine


class Unplayed:
    """Stands in for a guest of a campaign."""

    def __init__(self, *_: object) -> None:
        self.without_verdict, self.commands = False, 0

    def __enter__(self) -> Unplayed:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def played(
    monkeypatch: pytest.MonkeyPatch, cut_off: Collection[int], found: object = None
) -> tuple[Any, ...]:
    """The tally of four histories, some of which are cut off; for each what it left out."""
    avoided = list[tuple[str, ...]]()

    def play_random(guest: Unplayed, generator: Generator, *_: object, **__: object) -> object:
        guest.without_verdict = len(avoided) in cut_off
        avoided.append(tuple(generator.avoid))
        return found

    monkeypatch.setattr(campaigns, "Lockstep", Unplayed)
    monkeypatch.setattr(campaigns, "play_random", play_random)
    host = cast("Host", SimpleNamespace(machine=load_machine("microvm")))
    tally: HistoryTally = campaign(host, 1, lambda tally: tally.histories < 4)
    return tally, avoided


def test_behind_a_history_that_was_cut_off_no_free_frame_is_poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, avoided = played(monkeypatch, cut_off={1})
    assert (tally.histories, tally.cut_off) == (4, 1)
    assert avoided == [(), (), ("GUARD-08",), ("GUARD-08",)]


def test_histories_that_came_to_their_end_leave_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, avoided = played(monkeypatch, cut_off=())
    assert (tally.cut_off, set(avoided)) == (0, {()})


def test_a_clause_is_not_held_where_no_history_came_to_its_end() -> None:
    tally = HistoryTally(1, histories=3, cut_off=3)
    campaigns_of: Any = SimpleNamespace(of=lambda _: tally)
    judge = import_module("tests.contract.test_w_histories").test_no_history_breaks_the_clause
    with pytest.raises(NotEvaluated, match="no history could be followed to its end"):
        judge("FREE-01", None, None, campaigns_of)
    tally.cut_off = 2
    judge("FREE-01", None, None, campaigns_of)
