"""A campaign of rounds passes only when all were played; results of other circumstances are not its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.profiles import STEERING
from frame_harness.campaigns.done import DoneTask, LossReason, Lost
from frame_harness.campaigns.engine import campaign
from frame_harness.campaigns.plan import Plan, Settings
from frame_harness.cli import fuzz_rounds
from frame_harness.cli.campaign_options import CampaignOptions
from frame_harness.cli.corpus import SavedCorpus
from frame_harness.cli.fuzz import FuzzRequest, seed_for
from frame_harness.cli.fuzz_rounds import ManyRounds, played_in_rounds
from frame_harness.cli.fuzzed import Fuzzed
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.steering.campaign import Campaign
from frame_harness.steering.player import Player
from frame_harness.steering.rounds import ROUND_COMMANDS, PlayedRound, Rounds, RoundTask, play_round

LOST = Lost(reason=LossReason.DIED, detail="killed by signal 9")
HELD = PlayedRound(histories=3, commands=ROUND_COMMANDS)
FOUND_NOTHING = "fuzz: found nothing"


@dataclass
class Workers:
    """They come to given results, one for each round, in place of playing it."""

    results_of_rounds: list[PlayedRound | Lost]
    plans: list[Plan[RoundTask, PlayedRound]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def room(self) -> int:
        return 1

    def submit(self, key: str, _: RoundTask) -> None:
        self.keys.append(key)

    def results(self) -> Iterator[DoneTask[PlayedRound]]:
        for key, result in zip(self.keys, self.results_of_rounds, strict=True):
            yield DoneTask(key, result)

    @contextlib.contextmanager
    def campaign(self, plan: Plan[RoundTask, PlayedRound], _: Settings) -> Iterator[Workers]:
        self.plans.append(plan)
        yield self


def play(
    workers: Workers,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    machine: Machine | None = None,
    profile: str = "release",
    blind: bool = True,
    seed: int = 1,
    corpus: Path | None = None,
    commands: int = 0,
    seconds: float | None = None,
) -> ExitCode:
    monkeypatch.setattr(fuzz_rounds, "campaign", workers.campaign)
    on = machine or load_machine("q35")
    judged = OwnHost(build(frame_module(), profile), on)
    counting = None if blind else OwnHost(build(frame_module(), STEERING), on)
    most = None if seconds is not None else commands or ROUND_COMMANDS * len(workers.results_of_rounds)
    asked = ManyRounds(seed, seconds or 0.0, most, CampaignOptions(out=folder))
    with Player(judged, counting) as player:
        saved, begun = SavedCorpus(corpus, player), Campaign(player, seed)
        fuzzed = played_in_rounds(asked, begun, saved, lambda *_: None, lambda _: None)
        fuzzed.say()
        return fuzzed.status


@pytest.fixture(autouse=True)
def _rounds_as_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each test's workers take all rounds at once: those of a real campaign tell how many they can do.
    def submit(self: Any, running: Workers, go_on: Callable[[int], bool]) -> None:
        while go_on(self._submitted):
            running.submit(f"{self.first.seed}.{self._submitted}", self.first)
            self._submitted += 1

    monkeypatch.setattr(Rounds, "_submit", submit)


@pytest.mark.parametrize("results", [[LOST], [LOST, LOST], [HELD, LOST, HELD]], ids=["one", "all", "some"])
def test_a_campaign_that_lost_a_round_is_an_error(
    results: list[PlayedRound | Lost],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = play(Workers(results), tmp_path, monkeypatch)
    out = capsys.readouterr().out
    assert status is ExitCode.ERROR
    lost = results.count(LOST)
    assert f"\nnot judged: {lost} round{'s' * (lost > 1)} came to no result" in out
    assert "next: go on with --resume" in out


def test_a_campaign_goes_on_with_its_own_seed_unless_another_is_asked_for(tmp_path: Path) -> None:
    plan: Plan[RoundTask, PlayedRound] = Plan("fuzz", play_round, PlayedRound, "one", seed=7)
    with campaign(plan, Settings(0, None, tmp_path, False, None)):
        pass
    begun = FuzzRequest(seconds=1.0, where=CampaignOptions(resume=tmp_path))
    assert seed_for(begun) == 7
    assert seed_for(replace(begun, seed=8)) == 8
    new = replace(begun, where=CampaignOptions())
    assert seed_for(new) != seed_for(new)


def test_a_campaign_that_played_nothing_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(Workers([]), tmp_path, monkeypatch, seconds=0.0) is ExitCode.NO_TESTS
    assert "\nnot judged: nothing was played; next: give it more time (--time)" in capsys.readouterr().out


def test_a_campaign_whose_rounds_all_held_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(Workers([HELD, HELD]), tmp_path, monkeypatch) is ExitCode.PASS
    assert "not judged" not in capsys.readouterr().out


def test_histories_of_rounds_that_were_cut_off_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_off = PlayedRound(histories=3, commands=ROUND_COMMANDS, cut_off=2)
    assert play(Workers([HELD, cut_off, cut_off]), tmp_path, monkeypatch) is ExitCode.PASS
    assert "\ncut off: 4 of these histories" in capsys.readouterr().out


def test_the_rate_of_rounds_is_that_of_the_time_in_which_they_were_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter((100.0, 104.0))
    monkeypatch.setattr(fuzz_rounds, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    play(Workers([HELD, HELD]), tmp_path, monkeypatch)
    assert f"({2 * ROUND_COMMANDS / 4:.0f} a second)" in capsys.readouterr().out


def identity(folder: Path, monkeypatch: pytest.MonkeyPatch, **circumstances: Any) -> str:
    workers = Workers([HELD])
    play(workers, folder, monkeypatch, **circumstances)
    return workers.plans[0].identity


def written(folder: Path, ram: str) -> Machine:
    """A machine of one name, at one place, whose definition differs."""
    file = folder / "own.toml"
    file.write_text(f'type = "q35"\nram = "{ram}"\n')
    return load_machine(file)


@pytest.mark.parametrize(
    "circumstances",
    [
        {"machine": load_machine("pc")}, {"profile": "dev"}, {"blind": False}, {"seed": 2},
        {"corpus": Path("elsewhere")}, {"commands": ROUND_COMMANDS // 2},
    ],
    ids=lambda circumstances: next(iter(circumstances)),
)  # fmt: skip
def test_rounds_of_other_circumstances_are_another_campaign(
    circumstances: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = identity(tmp_path, monkeypatch)
    assert identity(tmp_path, monkeypatch) == first
    assert identity(tmp_path, monkeypatch, **circumstances) != first


def test_rounds_on_a_machine_file_that_was_changed_are_another_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = identity(tmp_path, monkeypatch, machine=written(tmp_path, "64 MiB"))
    assert identity(tmp_path, monkeypatch, machine=written(tmp_path, "65 MiB")) != first


def test_a_campaign_of_rounds_may_be_made_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity(tmp_path, monkeypatch)
    workers = Workers([HELD, HELD])
    play(workers, tmp_path, monkeypatch)
    assert workers.plans[0].identity == first


def test_what_was_found_counts_before_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    fuzzed = Fuzzed(1, frozenset({"ALLOC-07"}), 2, 3, 40, 2.0, lost=1, unconfirmed=("REF-01: x",))
    fuzzed.say()
    out = capsys.readouterr().out
    assert fuzzed.status is ExitCode.FAIL and "not judged" not in out
    assert "fuzz: found ALLOC-07 (2 causes): 3 histories, 40 commands" in out
    assert "(20 a second), 1 round lost, seed 1" in out and "counts branches alone: REF-01: x" in out
