"""Histories that the model cannot follow any further are counted."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.frame_histories import campaign as campaigns
from frame_harness.frame_histories.campaign import HistoryTally, campaign
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


@pytest.mark.parametrize(
    ("cut_off", "found", "n_counted"),
    [
        ((), None, 0),
        ((1, 3), None, 2),
        pytest.param(
            (1, 3), SimpleNamespace(clause="FREE-01", commands=("alloc",)), 0, id="found-all-the-same"
        ),
    ],
)
def test_histories_that_are_cut_off_are_counted(
    cut_off: Collection[int], found: Any, n_counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count()

    def play_random(guest: Unplayed, *_: object, **__: object) -> object:
        guest.without_verdict = next(numbers) in cut_off
        return found

    monkeypatch.setattr(campaigns, "Lockstep", Unplayed)
    monkeypatch.setattr(campaigns, "play_random", play_random)
    for name in ("shortest", "script_of"):
        monkeypatch.setattr(campaigns, name, lambda *_: found)
    host = cast("Host", SimpleNamespace(machine=load_machine("microvm")))
    tally = campaign(host, 1, lambda tally: tally.histories < 4)
    assert (tally.histories, tally.cut_off) == (4, n_counted)


def test_a_clause_is_not_held_where_no_history_came_to_its_end() -> None:
    tally = HistoryTally(1, histories=3, cut_off=3)
    campaigns_of: Any = SimpleNamespace(of=lambda _: tally)
    judge = import_module("tests.contract.test_w_histories").test_no_history_breaks_the_clause
    with pytest.raises(NotEvaluated, match="no history could be followed to its end"):
        judge("FREE-01", None, None, campaigns_of)
    tally.cut_off = 2
    judge("FREE-01", None, None, campaigns_of)
