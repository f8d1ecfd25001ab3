"""Proves that races in a frame module, or in the kernel around it, are found on two CPUs."""

from __future__ import annotations

import os
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
from tests.support.mutants import Edit, mutated

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
SLICE_S = 1.0
REAL = "FRAME_HARNESS_REAL_FRAME_RS"

SPLIT_INC: tuple[Edit, ...] = (
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        "match step(self.refcount.load(Relaxed)) {\n"
        "            Some(count) => self.refcount.store(count, Relaxed),\n"
        '            None => refuse_reference("inc_ref", 0),\n        }',
    ),
)
SPLIT_CAS: tuple[Edit, ...] = (
    (
        "self.refcount.compare_exchange(expect, new, AcqRel, Acquire)",
        "match self.refcount.load(Acquire) {\n"
        "            found if found == expect => { self.refcount.store(new, Release); Ok(found) }\n"
        "            found => Err(found),\n        }",
    ),
)
SPLIT_DEC: tuple[Edit, ...] = (
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {\n            Ok(1)",
        "let before = self.refcount.load(Relaxed);\n"
        "        let stepped = step(before).map(|after| self.refcount.store(after, Release));\n"
        "        match stepped.map(|()| before).ok_or(before) {\n            Ok(1)",
    ),
)
SPLIT_POISON: tuple[Edit, ...] = (
    (
        "self.flags.fetch_or(frame_flags::POISONED, AcqRel);\n    }",
        "self.set_flags(self.get_flags() | frame_flags::POISONED);\n    }",
    ),
)
EARLY_PUBLICATION: tuple[Edit, ...] = (
    ("slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)", "slot.cas_refcount(REFCOUNT_UNUSED, 1)"),
)
LOOK_THEN_DROP: tuple[Edit, ...] = (
    (
        "match self.refcount.fetch_update(Release, Relaxed, step) {\n            Ok(1)",
        "let found = self.refcount.load(Relaxed);\n"
        "        let dropped = step(found).map(|_| self.refcount.fetch_sub(1, Release));\n"
        "        match dropped.ok_or(found) {\n            Ok(1)",
    ),
)
LOOK_THEN_TAKE: tuple[Edit, ...] = (
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        "let found = self.refcount.load(Relaxed);\n"
        '        if step(found).is_none() {\n            refuse_reference("inc_ref", found)\n        }\n'
        "        self.refcount.fetch_add(1, Relaxed);",
    ),
)
LATE_CLAIM = (
    "if let Err(found) = slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY) {\n"
    "            refuse_claim(frame, found)",
    "if let Err(_) = slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY) {\n            return false",
)
NO_SECOND_LOOK: tuple[Edit, ...] = (
    (
        "        if found & meta_guard::POISONED != 0 {\n            return false;\n        }\n",
        "        self.set_guard(found & 0);\n",
    ),
)
SEEDED = {
    "inc-in-two-steps": (SPLIT_INC, "balanced references", "no_reference_is_lost", "REF-04"),
    "cas-in-two-steps": (SPLIT_CAS, "claims", "a_claim_between_the_looks", "REF-05"),
    "dec-in-two-steps": (SPLIT_DEC, "last references", "no_reference_is_lost", "REF-04"),
    "poison-in-two-steps": (SPLIT_POISON, "poison", "a_flag_that_is", "GUARD-09"),
    "published-before-the-epoch": (EARLY_PUBLICATION, "lives", "half_a_life", "ALLOC-16"),
}

# Two in a build: building takes longer than finding.
LOOKED_AHEAD = {
    "drop-and-claim": (
        (*LOOK_THEN_DROP, LATE_CLAIM),
        "(no_reference_forges and dec or a_claim_that_comes_too_late)",
        {"REF-07", "ALLOC-10", "FREE-08"},
    ),
    "take-and-poison": (
        (*LOOK_THEN_TAKE, *NO_SECOND_LOOK),
        "(no_reference_forges and inc or poison_that_comes_between)",
        {"REF-07", "GUARD-08"},
    ),
}


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
def test_a_storm_finds_a_seeded_race_within_a_minute(name: str, tmp_path: Path) -> None:
    edits, storm, _, _ = SEEDED[name]
    image = build(Subject.from_file(mutated(tmp_path, edits)), "release")
    assert seconds_until_found(image, storm) < LIMIT_S


@pytest.mark.parametrize("name", SEEDED)
def test_a_forced_interleaving_finds_a_seeded_race_every_time(name: str, tmp_path: Path) -> None:
    edits, _, words, id_ = SEEDED[name]
    subject = mutated(tmp_path, edits)
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, "--profile", "both", "-n", "1",
        "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, Kind.FAIL, ())
    assert result.violated == {id_}


@pytest.mark.parametrize("name", LOOKED_AHEAD)
def test_an_interleaving_finds_what_happens_between_look_and_change(name: str, tmp_path: Path) -> None:
    edits, words, ids = LOOKED_AHEAD[name]
    result = check(
        tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", mutated(tmp_path, edits), "--profile",
        "release", "-n", "1", "-k", f"interleavings and {words}",
    )  # fmt: skip
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, Kind.FAIL, ())
    assert result.violated == ids


def test_a_storm_finds_an_unlocked_free_list_within_a_minute() -> None:
    image = build(Subject.builtin(), "release", features=("red",))
    spent = seconds_until_found(image, "frames and blocks", extra=("red=unlocked-buddy",))
    assert spent < LIMIT_S


@pytest.fixture
def real() -> Path:
    path = os.environ.get(REAL)
    if not path:
        pytest.skip(f"{REAL} is not set: set it to the path of a real kernel's frame.rs")
    return Path(path)


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
