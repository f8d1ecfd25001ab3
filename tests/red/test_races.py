"""Proves that races in a frame module, or in the kernel around it, are found on two CPUs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.checks import ClauseViolated
from harness.image.build import build
from harness.image.image import Image
from harness.image.subject import Subject
from harness.judge.exit_codes import ExitCode, Kind
from harness.kernel import Kernel
from harness.kernel_errors import GuestCrashed, SubjectPanic
from harness.machine.definition import load_machine
from harness.storms import STORMS, rage
from tests.support.doors import check, write_machine
from tests.support.mutants import broken
from tests.support.race_mutants import LOOKED_AHEAD, SEEDED

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
SLICE_S = 1.0


def seconds_until_found(image: Image, name: str, *, extra: tuple[str, ...] = ()) -> float:
    """Let a storm rage until it breaks something."""
    began = time.monotonic()
    seed = 0
    while (spent := time.monotonic() - began) < LIMIT_S:
        seed += 1
        with Kernel.boot(image, load_machine("q35"), cpus=2, seed=seed, extra=extra) as kernel:
            try:
                rage(STORMS[name], kernel, seconds=SLICE_S, seed=seed)
            except (ClauseViolated, SubjectPanic, GuestCrashed):
                return time.monotonic() - began
    return spent


@pytest.mark.parametrize("name", SEEDED)
def test_a_storm_finds_a_seeded_race_within_a_minute(name: str) -> None:
    edits, storm, _, _ = SEEDED[name]
    image = build(Subject.from_file(broken(edits)), "release")
    assert seconds_until_found(image, storm) < LIMIT_S


@pytest.mark.parametrize("name", SEEDED)
def test_a_forced_interleaving_finds_a_seeded_race_every_time(name: str, tmp_path: Path) -> None:
    edits, _, words, id_ = SEEDED[name]
    subject = broken(edits)
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, "--profile", "both", "-n", "1",
        "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, Kind.FAIL, ())
    assert result.violated == {id_}


@pytest.mark.parametrize("name", LOOKED_AHEAD)
def test_what_takes_another_cpu_is_found_at_once(name: str, tmp_path: Path) -> None:
    edits, words, ids = LOOKED_AHEAD[name]
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken(edits), "--profile",
        "release", "-n", "1", "-k", words,
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, Kind.FAIL, ()), result.out
    assert result.violated == ids, result.out


def test_a_storm_finds_an_unlocked_free_list_within_a_minute() -> None:
    image = build(Subject.builtin(), "release", features=("red",))
    spent = seconds_until_found(image, "frames and blocks", extra=("red=unlocked-buddy",))
    assert spent < LIMIT_S


@pytest.mark.parametrize(
    ("words", "id_"), [("a_flag_that_is_set", "GUARD-09"), ("half_a_life", "ALLOC-16")], ids=str
)
def test_a_real_frame_rs_shows_its_races_in_one_command(
    real: Path, words: str, id_: str, tmp_path: Path
) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", real, "--profile", "both", "-n", "1",
        "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.violated) == (ExitCode.FAIL, {id_})


@pytest.mark.parametrize("storm", ["poison", "lives"])
def test_a_real_frame_rs_breaks_in_a_storm_within_a_minute(real: Path, storm: str) -> None:
    image = build(Subject.from_file(real), "release")
    assert seconds_until_found(image, storm) < LIMIT_S
