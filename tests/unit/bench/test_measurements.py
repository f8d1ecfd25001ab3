"""Proves what measurements return, with as few rounds as they can have."""

from __future__ import annotations

import itertools
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.bench import boot, console, histories, storms, suite
from frame_harness.bench.large_states import TILE_FRAMES
from frame_harness.bench.rows import Row, beside
from frame_harness.cli.bench import ASKED_FOR, MODULES


def test_a_row_compares_medians_and_the_ratios_of_each_round() -> None:
    # The first of each is a round that does not count.
    action, floor = itertools.cycle([9.0, 2.0, 3.0, 8.0]), itertools.cycle([9.0, 1.0, 2.0, 2.0])
    row = beside("a", lambda: next(action), "b", lambda: next(floor), rounds=3, goal="<= 2.0")
    assert (row.value, row.floor, row.ratio, row.met) == (3000.0, 2000.0, 2.0, True)


def test_a_row_may_say_how_many_times_faster() -> None:
    row = beside("a", lambda: 1.0, "b", lambda: 4.0, rounds=1, goal=">= 4.1", faster=True)
    assert (row.ratio, row.met) == (4.0, False)


def test_a_row_without_a_goal_is_neither_good_nor_bad() -> None:
    assert Row("a", 1.0, "b", 1.0, "ms", 1.0).met is None


@pytest.mark.parametrize("name", [*MODULES, *ASKED_FOR])
def test_each_measurement_that_is_offered_can_be_made(name: str) -> None:
    assert callable(import_module(f"frame_harness.bench.{name}").measure)


def test_a_request_is_as_long_as_the_answer_that_it_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "ROUNDS", 1)
    [row] = console.measure()
    assert row.value > 0 and row.floor > 0 and row.goal and "bytes" in row.name


def test_a_guest_is_booted_for_each_round_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "ROUNDS", 1)
    monkeypatch.setattr(boot, "GOALS", {"microvm": "<= 1000"})
    monkeypatch.setattr(boot, "PUT_BACK_GOALS", {"microvm": "<= 1000"})
    cold, put_back = boot.measure()
    assert cold.met and put_back.met and "microvm" in cold.name


def test_a_storm_with_one_cpu_is_its_own_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROUNDS", 1), ("SECONDS", 0.5), ("CPUS", (1, 2))):
        monkeypatch.setattr(storms, name, value)
    monkeypatch.setattr(storms, "PROGRAMS", {storms.ALLOCATIONS: ("alloc", "drop")})
    alone, two = storms.measure()
    assert (alone.ratio, alone.goal, alone.value) == (1.0, "", alone.floor)
    assert two.goal == storms.GOAL and two.floor == alone.value and two.value > 0


def test_histories_are_compared_in_a_process_for_each_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {
        "SIZES": (TILE_FRAMES,),
        "REFERENCE": TILE_FRAMES,
        "ROUNDS": 1,
        "ROUNDS_OF_LARGE": 1,
        "COMPARED": 50,
    }
    for name, value in few.items():
        monkeypatch.setattr(histories, name, value)
    _, _, in_ram, alone, together = histories.measure()
    assert "for each of" in together.name and together.value > 0
    assert in_ram.value > 0 and alone.value > 0


def clone_with(folder: Path, *, succeeds: bool = True) -> Path:
    """A clone of a project with the menu that the suite's measurement needs."""
    status = "true" if succeeds else "echo a test failed; false"
    (folder / ".ci").mkdir(parents=True)
    (folder / "Makefile").write_text(f"ARGS ?=\ncheck test:\n\t@test -z '$(ARGS)' && {status}\n")
    (folder / ".ci" / "run").write_text("#!/bin/sh\nexec make -s check test\n")
    (folder / ".ci" / "run").chmod(0o755)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def test_each_proof_of_the_project_is_beside_the_time_that_it_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "checkout_root", lambda: clone_with(tmp_path / "clone"))
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=suite")
    monkeypatch.setenv("ARGS", "suite")
    rows = list(suite.measure())
    assert [row.name.split(",")[0] for row in rows] == ["make check", "make test", ".ci/run in a fresh clone"]
    assert all(row.met and row.ratio == row.value / row.floor for row in rows)


def test_a_proof_that_fails_has_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "checkout_root", lambda: clone_with(tmp_path / "clone", succeeds=False))
    with pytest.raises(HarnessError, match=r"(?s)make check: exit status 2.*a test failed"):
        list(suite.measure())


def test_an_installed_package_has_no_proofs_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "checkout_root", lambda: None)
    with pytest.raises(UsageError, match="a clone, which has the tests"):
        list(suite.measure())
