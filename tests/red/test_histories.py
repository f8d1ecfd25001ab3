"""Random histories find bugs that show late, what a real module is known for, nothing in a sound one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from frame_harness.cli.main import cli
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.campaign import HistoryTally, campaign
from frame_harness.frame_histories.commands import decode
from frame_harness.frame_histories.lockstep import Lockstep, OwnHost
from frame_harness.frame_histories.script_play import play_script
from frame_harness.frame_histories.scripts import parse
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.subject import Subject
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from tests.support.doors import check
from tests.support.history_mutants import AFTER_REFILL, POISON_IN_CACHE, HistoryMutant
from tests.support.mutants import broken_here, kept

KNOWN = {"ALLOC-07", "ALLOC-15", "REF-07", "GUARD-08"}
KNOWN_IN = {"dev": KNOWN | {"VT-03"}, "release": KNOWN}
A_MINUTE = 20_000  # commands: what a minute must suffice for on two cores
SEEDS = (1, 2)


def host(subject: Subject, profile: str = "dev", machine: str = "q35") -> OwnHost:
    return OwnHost(build(subject, profile), load_machine(machine))


def first_finding(subject: Subject, seed: int) -> HistoryTally:
    return campaign(host(subject), seed, lambda tally: not tally.found and tally.commands < A_MINUTE)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [AFTER_REFILL, POISON_IN_CACHE], ids=["after-refill", "poison-in-cache"])
@pytest.mark.parametrize("seed", SEEDS)
def test_bug_that_takes_a_history_is_found(mutant: HistoryMutant, seed: int) -> None:
    path = kept(mutant.apply(frame_module().path.read_text(encoding="utf-8")))

    tally = first_finding(frame_module(path), seed)

    assert set(tally.found) <= mutant.clauses
    assert tally.found, f"{tally.histories} histories, {tally.commands} commands"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [AFTER_REFILL, POISON_IN_CACHE], ids=["after-refill", "poison-in-cache"])
def test_bug_that_takes_a_situation_is_found_in_it(mutant: HistoryMutant, tmp_path: Path) -> None:
    """A run of all checks needs no luck with a history's seed."""
    path = kept(mutant.apply(frame_module().path.read_text(encoding="utf-8")))
    result = check(
        tmp_path, "--frame-rs", path, "--machine", "microvm", "--profile", "release", "-n", "1",
        "-k", "in_each_situation",
    )  # fmt: skip
    assert (result.status, result.survivors) == (ExitCode.FAIL, ()), result.out
    assert result.violated == mutant.clauses, result.out


def test_module_that_is_wrong_at_boot_is_found_at_once() -> None:
    """It must neither be an error of the harness nor go on for ever."""
    new = "            meta_aux: atomic::AtomicU32::new(0),\n"
    path = broken_here([(new, new.replace("new(0)", "new(3)"))])

    tally = first_finding(frame_module(path), 1)

    assert set(tally.found) == {"ARRAY-03"}
    assert tally.histories == 1


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["dev", "release"])
def test_what_a_real_module_is_known_for_is_found_alone(real: Path, profile: str) -> None:
    tally = campaign(host(frame_module(real), profile), 1, lambda tally: tally.commands < A_MINUTE // 4)

    assert set(tally.found) == KNOWN_IN[profile]
    assert max(len(found.script.commands) for found in tally.found.values()) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["dev", "release"])
@pytest.mark.parametrize("machine", ["q35", "microvm", "pc"])
def test_nothing_is_found_in_the_builtin_module(machine: str, profile: str) -> None:
    tally = campaign(host(frame_module(), profile, machine), 4, lambda tally: tally.commands < A_MINUTE // 8)

    assert not tally.found, [found.script.text for found in tally.found.values()]


def test_saved_script_fails_again_on_its_subject_and_passes_on_a_sound_one(tmp_path: Path) -> None:
    """Found by the command line, saved, replayed by the command line."""
    path = broken_here([("meta_aux.store(v, Relaxed)", "meta_aux.store(v & 0xffff, Relaxed)")])
    run = CliRunner()
    saved = ["--scripts", str(tmp_path)]

    fuzzed = run.invoke(cli, ["fuzz", "--commands", "400", "--seed", "1", "--frame-rs", str(path), *saved])
    assert fuzzed.exit_code == ExitCode.FAIL, fuzzed.output
    [script] = tmp_path.glob("FRAME-08-*.txt")
    assert f"frame-harness replay {script}" in fuzzed.output

    again = run.invoke(cli, ["replay", str(script), "--frame-rs", str(path)])
    assert again.exit_code == ExitCode.FAIL, again.output
    assert "FRAME-08" in again.output
    for profile in ("dev", "release"):
        sound = run.invoke(cli, ["replay", str(script), "--profile", profile], env={"FRAME_RS": ""})
        assert sound.exit_code == ExitCode.PASS, sound.output


def test_guest_that_was_reset_is_as_a_fresh_one() -> None:
    """The same history before and after others, on the same guest, leaves the same memory."""
    script = parse(
        "# frame-harness script 1\n# machine: q35\n# profile: dev\n"
        "alloc new purpose=user\nalloc.all new zeroed=0\nbuddy.drain\nrelease 0x1180000 0\nalloc\n",
        "script",
    )
    other = replace(script, commands=(*map(decode, ("alloc.all", "slot.inc_ref 0x1180000")),))
    with Lockstep(host(frame_module()), ISLANDS) as lockstep:
        assert play_script(lockstep, script) is None
        first = lockstep.kernel.slots().copy()
        assert play_script(lockstep, other) is None
        assert play_script(lockstep, script) is None
        assert (lockstep.kernel.slots() == first).all()
