"""What a corpus shows is never left out as if it could not be played; no guest is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import HarnessError, MachineError, UsageError
from frame_harness.cli import corpus
from frame_harness.cli.corpus import SavedCorpus, minimize
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import Command, Op, ScriptError
from frame_harness.frame_histories.scripts import Script
from frame_harness.guest.errors import QemuEndError, WitnessesDisagree
from frame_harness.machine.definition import load_machine
from frame_harness.steering.campaign import Campaign, Kept
from frame_harness.steering.player import PlayedHistory, Player

SCRIPT = Script(machine="q35", profile="dev", boot_config=ISLANDS, commands=(Command(Op.DRAIN),))
BEGUN, SHOWS_ONCE = "begun", "FREE-01 on a fresh guest"


class OneScript:
    """A campaign in which a script shows a finding once, or cannot be played."""

    def __init__(self, *, fails: Exception | None, shows_again: bool) -> None:
        self.told: list[str] = []
        self._fails, self._shows_again = fails, shows_again

    def play(self, _: Kept) -> PlayedHistory:
        if self._fails is not None:
            raise self._fails
        return cast(PlayedHistory, SimpleNamespace())

    def begin_with(self, history: Kept, *_: Any) -> None:
        if not self._shows_again:
            raise HarnessError("history", history.name, expected=SHOWS_ONCE, actual="nothing")
        self.told.append(BEGUN)


def told(folder: Path, *, fails: Exception | None = None, shows_again: bool = True) -> list[str]:
    """What is said of a corpus of one script."""
    (folder / "history-1.txt").write_text(SCRIPT.text)
    machine = load_machine("q35")
    player = SimpleNamespace(judged=SimpleNamespace(machine=machine), counting=SimpleNamespace())
    campaign = OneScript(fails=fails, shows_again=shows_again)
    saved = SavedCorpus(folder, cast(Player, player))
    saved.play_all(cast(Campaign, campaign), lambda _: None, campaign.told.append)
    return campaign.told


def test_a_finding_that_does_not_repeat_is_no_script_that_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=SHOWS_ONCE):
        told(tmp_path, shows_again=False)


def test_a_script_that_cannot_be_played_is_left_out_and_said(tmp_path: Path) -> None:
    assert told(tmp_path) == [BEGUN]
    [line] = told(tmp_path, fails=ScriptError("command", "jump", detail="no such command"))
    assert "left out" in line and "no such command" in line


@pytest.mark.parametrize(
    "error",
    [
        QemuEndError("guest gone", detail="somebody killed it"),
        WitnessesDisagree("slot", expected="1", actual="2"),
        MachineError("qemu", "q35", detail="ended at once"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_script_whose_guest_the_host_ended_is_not_left_out(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        told(tmp_path, fails=error)


def test_a_finding_takes_the_place_of_a_longer_one_alone(tmp_path: Path) -> None:
    saved = SavedCorpus(tmp_path, cast(Player, None))
    short, long = (replace(SCRIPT, commands=(Command(Op.DRAIN),) * count) for count in (2, 3))
    for script in (long, short, long):
        saved.save(script)
    [path] = tmp_path.iterdir()
    assert path.read_text() == short.text


def test_a_folder_without_histories_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(corpus, "build")
    (tmp_path / "REF-07-dev.txt").write_text(SCRIPT.text)  # a finding is none
    with pytest.raises(UsageError, match=r"expected histories that fuzz kept, history-\*, got none"):
        minimize(tmp_path, None, "q35", "dev")
