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
from tests.support.race_mutants import (
    HANGS,
    LOCKED,
    LOOKED_AHEAD,
    SEEDED,
    SILENT_STORE,
    TOUCHED_TWICE,
)

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


def all_touched_twice() -> Path:
    return broken([edit for edits, _ in TOUCHED_TWICE.values() for edit in edits])


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_whatever_is_touched_twice_is_found_by_a_derived_interleaving(profile: str, tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", all_touched_twice(), "--profile",
        profile, "-n", "1", "-k", "test_s_races",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, Kind.FAIL, ()), result.out
    assert result.violated == set().union(*(ids for _, ids in TOUCHED_TWICE.values())), result.out


def test_what_is_touched_twice_passes_every_check_of_another_kind(tmp_path: Path) -> None:
    """Storms apart, which may or may not meet it, and the orderings, which see the code and not its doing."""
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", all_touched_twice(), "--profile",
        "release", "-k", "not test_s_races and not storms and not test_s_histories and not orderings",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, Kind.PASS, ()), result.out


def test_a_hook_that_is_cleared_between_two_loads_is_reported_with_both_functions(tmp_path: Path) -> None:
    edits, _ = TOUCHED_TWICE["vtable"]
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken(edits), "--profile", "release",
        "-n", "1", "-k", "test_s_races and VT-04",
    )  # fmt: skip
    assert (result.status, result.violated) == (ExitCode.FAIL, {"VT-04"}), result.out
    assert result.says("MetaSlot::set_vtable_bits(0x0) while frame::invoke_vtable_on_unmap() is held"), (
        result.out
    )
    assert result.says("before its access to vtable"), result.out


def test_a_store_that_is_silent_alone_is_a_place_to_be_held_at(tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken(SILENT_STORE), "--profile",
        "release", "-n", "1", "-k", "GUARD-09",
    )  # fmt: skip
    assert (result.status, result.violated) == (ExitCode.FAIL, {"GUARD-09"}), result.out
    broken_checks = [line for line in result.out.splitlines() if "see it again" in line or "-k test_" in line]
    assert all("test_a_flag" not in line for line in broken_checks), result.out


def test_a_lock_in_the_subject_is_no_race(tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken(LOCKED), "--profile", "release",
        "-n", "1", "-k", "test_s_races and LAYOUT-02",
    )  # fmt: skip
    assert (result.status, result.kind) == (ExitCode.PASS, Kind.PASS), result.out


def test_two_operations_of_which_one_never_ends_are_a_race(tmp_path: Path) -> None:
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", broken(HANGS), "--profile", "release",
        "-n", "1", "-k", "test_s_races and (FRAME-08 or FREE-07)",
    )  # fmt: skip
    assert (result.status, result.violated) == (ExitCode.FAIL, {"FRAME-08"}), result.out
    assert result.survivors == ()


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
