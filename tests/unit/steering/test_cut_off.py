"""A campaign counts the histories that the model cannot follow to their end, on either image."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.machine.definition import load_machine
from frame_harness.steering import campaign as campaigns
from frame_harness.steering import player as players
from frame_harness.steering.campaign import Campaign
from frame_harness.steering.player import Player

CUT_OFF = (1, 3)


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize(("failure", "n_counted"), [(None, len(CUT_OFF)), (SimpleNamespace(), 0)])
def test_histories_that_are_cut_off_are_counted(
    failure: object, n_counted: int, steered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found there counts in its own place, though the guest was cut off."""
    numbers, guest = count(), SimpleNamespace(commands=0, without_verdict=False)

    def play_random(*_: object, **__: object) -> object:
        guest.without_verdict = next(numbers) in CUT_OFF
        return failure

    for module in (campaigns, players):
        monkeypatch.setattr(module, "play_random", play_random)
    monkeypatch.setattr(players, "Observer", lambda *_: SimpleNamespace(commands=(), reached={}))
    monkeypatch.setattr(players, "Branches", SimpleNamespace(of=lambda _: "branches"))
    monkeypatch.setattr(Player, "guest", lambda *_, **__: guest)
    monkeypatch.setattr(Player, "confirm", lambda *_: None)
    monkeypatch.setattr(campaigns.Cause, "of", lambda _: "a cause")
    host: Any = SimpleNamespace(machine=load_machine("microvm"), image=None)
    campaign = Campaign(Player(host, host if steered else None), 1)
    for _ in range(4):
        campaign.one()
    assert (campaign.tally.histories, campaign.tally.cut_off) == (4, n_counted)
