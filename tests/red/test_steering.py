"""Histories that learn: they find what is deep, nothing in a sound module, and are played again by pytest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from frame_harness.base.profiles import STEERING
from frame_harness.cli.main import cli
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.commands import decode
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_histories.scripts import Script
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.boot_options import AS_USUAL
from frame_harness.image.branches import Branches
from frame_harness.image.build import build
from frame_harness.image.errors import ImageError
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.steering.campaign import Campaign
from frame_harness.steering.features import FeatureKind
from frame_harness.steering.player import Player
from tests.support.deep_faults import ASLEEP, FAULTS, first_met, player
from tests.support.mutants import broken

HINT_CUT = ("meta_aux.store(v, Relaxed)", "meta_aux.store(v & 0xffff, Relaxed)")
COMMANDS = 900


@pytest.fixture
def builtin() -> Iterator[Player]:
    machine = load_machine("q35")
    images = [build(frame_module(), profile) for profile in ("dev", STEERING)]
    with Player(*(OwnHost(image, machine) for image in images)) as found:
        yield found


def fuzz(*arguments: str | int | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["fuzz", *map(str, arguments)], env={"FRAME_RS": ""} | (env or {}))


def test_only_an_image_for_fuzzing_counts_branches(builtin: Player) -> None:
    assert len(builtin.branches.of_subject) > 100
    with pytest.raises(ImageError, match="counters of branches: expected some, got none"):
        Branches.of(builtin.judged.image)


def test_one_seed_plays_the_same_histories_each_time(builtin: Player) -> None:
    seen = []
    for _ in range(2):
        campaign = Campaign(builtin, 3)
        campaign.run(lambda tally: tally.histories < 9)
        seen.append(([each.commands for each in campaign.corpus.entries], campaign.commands))
    assert seen[0] == seen[1]


def test_a_sound_module_has_no_findings_and_branches_are_reached(builtin: Player) -> None:
    campaign = Campaign(builtin, 7)
    tally = campaign.run(lambda tally: tally.commands < COMMANDS)
    assert not tally.found and not tally.unconfirmed
    assert len([each for each in campaign.corpus.features if each[0] == FeatureKind.BRANCH]) > 60
    assert 0 < tally.blind_commands < tally.commands


@pytest.mark.whole
@pytest.mark.parametrize("seed", range(1, 4))
def test_nothing_is_found_in_a_sound_module_for_long(builtin: Player, seed: int) -> None:
    tally = Campaign(builtin, seed).run(lambda tally: tally.commands < 20_000)
    assert not tally.found, [found.script.text for found in tally.found.values()]


def test_corpus_is_filled_minimized_and_played_by_pytest(tmp_path: Path) -> None:
    """A finding of a broken module is a test that fails on it, and passes on a sound one."""
    corpus, path = tmp_path / "corpus", broken([HINT_CUT])
    run = fuzz(
        "--commands", COMMANDS, "--seed", "1", "--frame-rs", path, "--corpus", corpus, "--scripts", tmp_path
    )
    assert run.exit_code == ExitCode.FAIL, run.output
    [finding] = corpus.glob("FRAME-08-dev-*.txt")
    kept = list(corpus.glob("history-*.txt"))
    assert "# kept: " in kept[0].read_text() and "# cause: slot meta_aux in MetaSlot::" in finding.read_text()

    other = fuzz("--commands", "300", "--seed", "2", "--frame-rs", path, "--scripts", tmp_path, "--blind")
    assert other.exit_code == ExitCode.FAIL, other.output
    assert len(list(tmp_path.glob("FRAME-08-*.txt"))) == 1  # the same cause from another seed

    fewer = CliRunner().invoke(cli, ["corpus", "minimize", str(corpus)], env={"FRAME_RS": ""})
    assert fewer.exit_code == ExitCode.PASS, fewer.output
    left = list(corpus.glob("history-*.txt"))
    assert 0 < len(left) < len(kept) and finding.exists()
    assert f"{len(left)} of {len(kept)} histories reach the same" in fewer.output

    (corpus / "notes.txt").write_text("not a script\n")
    (corpus / "bad.txt").write_text("# frame-harness script 1\n# machine: q35\n# profile: dev\nslot.jump 1\n")
    sound = played_by_pytest(corpus)
    assert "bad.txt: `slot.jump 1`: its effect is not known to the model" in sound
    assert f"1 failed, {len(left) + 1} passed" in sound
    on_it = played_by_pytest(corpus, "--frame-rs", path, "-k", finding.name)
    assert "FRAME-08: meta_aux holds any u32" in on_it and "1 failed" in on_it
    assert "in MetaSlot::meta_aux_store" in on_it and "Traceback" not in on_it


def played_by_pytest(folder: Path, *options: str | Path) -> str:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, folder]
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False).stdout


def test_fuzz_without_a_corpus_cannot_minimize_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = fuzz("--minimize", "--commands", "1")
    assert run.exit_code != ExitCode.PASS and "there is no corpus" in str(run.exception)


def test_a_history_of_another_machine_on_all_of_its_memory_is_left_out(tmp_path: Path) -> None:
    config = type(ISLANDS)("whole", AS_USUAL)
    (tmp_path / "history-1.txt").write_text(Script("pc", "dev", config, (decode("alloc"),)).text)
    run = fuzz("--commands", "1", "--seed", "1", "--corpus", tmp_path)
    assert run.exit_code == ExitCode.PASS, run.output
    assert "left out" in run.output and "expected one for q35, got one for pc" in run.output


# ---- deep faults ------------------------------------------------------------------------------------------


def test_a_deep_fault_that_sleeps_is_come_to_and_awake_it_is_found() -> None:
    """The one of the ten that a campaign of this seed comes to first."""
    with player(ASLEEP | SOON) as guests:
        met = first_met(Campaign(guests, SOON_SEED), SOON_MOST, only=SOON)
    assert SOON in met
    with player(SOON) as guests:
        tally = Campaign(guests, SOON_SEED).run(lambda tally: not tally.found and tally.commands < SOON_MOST)
    assert tally.found, f"{tally.commands} commands"


SOON, SOON_SEED, SOON_MOST = 3, 3, 3_000


@pytest.mark.whole
@pytest.mark.parametrize("fault", range(1, len(FAULTS) + 1))
def test_every_deep_fault_that_is_awake_is_seen(fault: int) -> None:
    """By blind histories or steered ones, sooner or later; how soon is what the module's command measures."""
    with player(fault) as guests:
        tally = Campaign(guests, 1).run(lambda tally: not tally.found and tally.commands < 200_000)
    assert tally.found
