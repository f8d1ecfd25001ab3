"""Storms end by the clock or by a count of steps; what they break can be seen again."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from frame_harness.base.errors import UsageError
from frame_harness.base.text import plural
from frame_harness.campaigns.done import DoneTask, LossReason, Lost
from frame_harness.cli import storm, storm_turns
from frame_harness.cli.main import cli
from frame_harness.cli.storm import StormRequest
from frame_harness.concurrency.smp import ProgramResult
from frame_harness.frame_storms.table import STORMS
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestTimeout
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from tests.support.bad_ends import end_badly
from tests.support.versions import OLDER

ENV = {"FRAME_RS": ""}


def test_each_named_storm_goes_on_until_its_steps_are_counted() -> None:
    run = CliRunner().invoke(
        cli, ["storm", "claims", "poison", "--steps", "5000", "--time", "0.001"], env=ENV
    )
    assert run.exit_code == ExitCode.PASS, run.output
    counts = dict(re.findall(r"^(\w+) +([\d,]+) steps .*: held$", run.output, re.MULTILINE))
    assert set(counts) == {"claims", "poison"}
    assert all(int(steps.replace(",", "")) >= 5000 for steps in counts.values())


@pytest.mark.parametrize(("steps", "rate"), [(201, "100 /s"), (46_272, "23.1 k/s"), (5_000_000, "2.5 M/s")])
def test_a_slow_storm_is_not_told_as_one_that_stands_still(steps: int, rate: str) -> None:
    one = next(iter(STORMS.values()))
    line = storm._Tally(one, steps, seconds=2.0).line
    assert f" {rate}  " in line
    assert line.index(":") == storm._Tally(one, absent="no such name").line.index(":")


def test_a_storm_does_not_go_on_with_the_results_of_another_one(tmp_path: Path) -> None:
    out = ["--steps", "100", "--time", "0.001"]
    begun = CliRunner().invoke(cli, ["storm", "poison", *out, "--out", str(tmp_path / "results")], env=ENV)
    assert begun.exit_code == ExitCode.PASS, begun.output
    other = CliRunner().invoke(cli, ["storm", "claims", *out, "--resume", str(tmp_path / "results")], env=ENV)
    assert isinstance(other.exception, UsageError), other.output
    assert "expected this storm campaign" in str(other.exception)


@pytest.mark.parametrize("again", [False, True])
def test_guests_of_another_seed_are_another_campaign(again: bool) -> None:
    """A guest that `--again` repeats is named by its place behind the first, whose seed each of them has."""
    image, machine = cast("Any", SimpleNamespace(sha256="0" * 64)), load_machine("q35")
    first, same, other = (
        storm._identity(StormRequest(seconds, seed=seed, again=again), image, machine)
        for seconds, seed in ((1.0, 5), (2.0, 5), (1.0, 6))
    )
    assert first == same != other


class LosesAll:
    """Does one guest at a time, and loses it."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.lost = 0

    @property
    def room(self) -> int:
        return 1 + self.lost - len(self.keys)

    def submit(self, key: str, _: object) -> None:
        self.keys.append(key)
        assert len(self.keys) < 9, "it has no end"

    def results(self) -> Iterator[DoneTask[Any]]:
        while self.lost < len(self.keys):
            self.lost += 1
            yield DoneTask(self.keys[-1], Lost(reason=LossReason.HUNG))


def test_storms_that_go_on_until_their_steps_are_counted_end_where_guests_are_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(storm, "campaign", lambda *_: contextlib.nullcontext(LosesAll()))
    words = ["storm", "poison", "claims", "--steps", "5000", "--out", str(tmp_path / "results")]
    run = CliRunner().invoke(cli, words, env=ENV)
    assert run.exit_code == ExitCode.ERROR, run.output
    assert "GUARD-09: not judged, 1 guest lost" in run.output


def test_storm_that_hangs_the_guest_is_a_finding_of_its_clauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> None:
        raise GuestTimeout("guest", detail="every CPU is halted for good")

    monkeypatch.setattr(storm_turns, "run_storm", hang)
    monkeypatch.setattr(sys, "argv", ["/elsewhere/bin/frame-harness"])
    run = CliRunner().invoke(cli, ["storm", "poison", "--time", "0.001"], env=ENV)
    assert run.exit_code == ExitCode.FAIL, run.output
    assert "GUARD-09: " in run.output
    assert "BROKEN, " in run.output and "halted for good" in run.output
    assert "see it again: /elsewhere/bin/frame-harness storm poison --again --cpus 2 --seed 1 " in run.output


def test_storm_whose_guest_does_not_exit_as_it_should_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm_turns, "run_storm", lambda *_, **__: None)
    end_badly(monkeypatch)
    run = CliRunner().invoke(cli, ["storm", "poison", "--time", "0.001"], env=ENV)
    assert run.exit_code == ExitCode.FAIL, run.output
    assert "BROKEN, " in run.output and "expected pass, got the CPU was reset" in run.output


def test_storm_that_breaks_something_counts_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, seen: Callable[[ProgramResult], None], **__: Any) -> None:
        seen(ProgramResult({0: {"steps": 1194970}}, (), 0.5))
        raise ClauseViolated("reference count", expected="1", got="2")

    monkeypatch.setattr(storm_turns, "run_storm", broken)
    run = CliRunner().invoke(cli, ["storm", "poison", "--time", "0.001"], env=ENV)
    assert "1,194,970 steps" in run.output and " 0 steps" not in run.output, run.output


def test_race_that_does_not_show_again_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    guests = []

    def held(*_: Any, seed: int, **__: Any) -> None:
        guests.append(seed)

    monkeypatch.setattr(storm_turns, "run_storm", held)
    words = ["storm", "poison", "--again", "--seed", "7"]
    run = CliRunner().invoke(cli, [*words, "--time", "0.5"], env=ENV)
    assert run.exit_code == ExitCode.NOT_SHOWN, run.output
    assert f"not shown: nothing broke in {plural(len(guests), 'guest')}. " in run.output
    assert set(guests) == {7}, "it is played as it was"


def test_race_is_repeated_until_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    guests = []

    def at_the_third(*_: Any, seed: int, **__: Any) -> None:
        guests.append(seed)
        if len(guests) == 3:
            raise ClauseViolated("reference count", expected="1", got="2")

    monkeypatch.setattr(storm_turns, "run_storm", at_the_third)
    run = CliRunner().invoke(cli, ["storm", "poison", "--again", "--time", "600"], env=ENV)
    assert (run.exit_code, len(guests)) == (ExitCode.FAIL, 3), run.output


@pytest.mark.programs
def test_older_module_is_judged_by_the_storms_that_it_has_the_names_for() -> None:
    words = ["storm", "balanced references", "lives", "frames and blocks", "--time", "0.5"]
    run = CliRunner().invoke(cli, [*words, "--frame-rs", str(OLDER)], env=ENV)
    assert run.exit_code == ExitCode.PASS, run.output
    lines = {line[:20].strip(): line for line in run.output.splitlines()}
    assert lines["balanced references"].endswith("REF-04: held")
    for name in ("lives", "frames and blocks"):
        assert "did not run" in lines[name] and "not in this version, which lacks MetaSlot." in lines[name]


def test_storm_that_is_not_in_a_version_is_no_pass() -> None:
    run = CliRunner().invoke(cli, ["storm", "poison", "--frame-rs", str(OLDER)], env=ENV)
    assert run.exit_code == ExitCode.UNJUDGEABLE, run.output
    assert "GUARD-09: not in this version, which lacks meta_guard, MetaSlot.guard" in run.output


def test_names_of_storms_are_shown_as_a_shell_takes_them() -> None:
    run = CliRunner().invoke(cli, ["storm", "nosuch"], env=ENV)
    assert isinstance(run.exception, UsageError)
    assert "'balanced references', claims, " in run.exception.next_step


@pytest.mark.parametrize(
    ("steps", "words"),
    [(None, "in 1 guest. A race depends on chance: a longer --time shows it"), (10, "more --steps show it")],
)
def test_the_advice_of_a_race_that_does_not_show_names_what_was_asked_for(
    steps: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = cast("Any", SimpleNamespace(broken="", lost=0, absent="", guests=1))
    asked = cast("Any", SimpleNamespace(again=True, steps=steps))
    assert storm._ending([tally], asked) is ExitCode.NOT_SHOWN
    assert words in capsys.readouterr().out
