"""Proves that each clause notices a frame module, or a buddy, that breaks it.

Bugs that do not get in each other's way share a build. `FRAME_HARNESS_MUTANTS=alone` gives each a build of
its own, which proves that every bug is found for its own sake.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base.resources import shim_dir
from frame_harness.contract.clauses import ClauseKind
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.crossed_mutants import CROSSED
from tests.support.doors import Judged, check
from tests.support.frame_mutants import MUTANTS, ONE_OF_MANY
from tests.support.hidden_mutants import HIDDEN
from tests.support.mutants import Batch, apply, batches
from tests.support.ordering_mutants import COMMON
from tests.support.ordering_mutants_own import BUILTIN
from tests.support.race_mutants import LOOKED_AHEAD, SEEDED
from tests.support.same_place import same_place
from tests.support.shim_mutants import SELECTION, SHIM_MUTANTS, UNCOUNTED, ShimMutant, broken_project

TEXT = frame_module().path.read_text(encoding="utf-8")
ALONE = os.environ.get("FRAME_HARNESS_MUTANTS") == "alone"
SIZE = 1 if ALONE else 6
# What was dealt out stays where it is when a bug of the second table comes.
BATCHES = [
    *batches([bug for bug in MUTANTS if bug not in ONE_OF_MANY], TEXT, size=SIZE),
    *(replace(one, name=f"many-{one.name}") for one in batches(ONE_OF_MANY, TEXT, size=SIZE)),
    *(replace(one, name=f"crossed-{one.name}") for one in batches(CROSSED, TEXT, size=SIZE)),
    *(replace(one, name=f"hidden-{one.name}") for one in batches(HIDDEN, TEXT, size=SIZE)),
]


@pytest.mark.slow
@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: batch.name)
def test_every_bug_is_found(batch: Batch, tmp_path: Path) -> None:
    subject = same_place() / "frame.rs"
    subject.write_text(apply(TEXT, batch.edits, name=batch.name), encoding="utf-8")
    result = check(
        tmp_path, "--frame-rs", subject, "--machine", batch.machine, "--profile", batch.profile,
        "-n", "1", "-k", batch.selection,
    )  # fmt: skip
    missed = {mutant.name: mutant.clauses - result.violated for mutant in batch.mutants}
    assert {name: clauses for name, clauses in missed.items() if clauses} == {}, result.out
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out


@pytest.mark.slow
def test_every_bug_of_the_buddy_is_found(tmp_path: Path) -> None:
    result = with_bugs(tmp_path, "shim", SHIM_MUTANTS, SELECTION)
    missed = {mutant.name: mutant.clauses - result.violated for mutant in SHIM_MUTANTS}
    assert {name: clauses for name, clauses in missed.items() if clauses} == {}, result.out


@pytest.mark.slow
def test_what_cpus_do_with_their_own_caches_is_seen_behind_a_storm(tmp_path: Path) -> None:
    result = with_bugs(
        tmp_path, "lent-caches", [UNCOUNTED], "test_free_lists_are_sound_after_a_storm_of_blocks"
    )
    assert result.violated >= UNCOUNTED.clauses, result.out


def with_bugs(tmp_path: Path, name: str, bugs: Sequence[ShimMutant], selection: str) -> Judged:
    """Judge the built-in module around a broken shim, which must not pass."""
    project, cache = broken_project(name, bugs)
    env = {"PYTHONPATH": str(project / "harness"), "FRAME_HARNESS_CACHE": str(cache)}
    result = check(
        tmp_path, "--machine", "microvm", "--profile", "release", "-n", "1", "-k", selection, env=env
    )
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    return result


@pytest.mark.parametrize("bug", [*SHIM_MUTANTS, UNCOUNTED], ids=lambda bug: bug.name)
def test_every_bug_of_the_buddy_has_its_place(bug: ShimMutant) -> None:
    text = (shim_dir() / bug.file).read_text(encoding="utf-8")
    assert apply(text, bug.edits, name=bug.name) != text


def test_every_clause_is_broken_by_some_bug() -> None:
    """One CPU shows it, or it takes two, or the compiled code tells."""
    bugs = [bug.clauses for bug in MUTANTS] + [bug.clauses for bug in SHIM_MUTANTS]
    broken = set().union(*bugs, *(variant.clauses for variant in [*COMMON, *BUILTIN]))
    raced = {id_ for *_, id_ in SEEDED.values()}.union(*(ids for *_, ids in LOOKED_AHEAD.values()))
    assert CLAUSES.keys() - broken - raced == set()


def test_every_ordering_clause_is_broken_by_some_variant() -> None:
    broken = set().union(*(variant.clauses for variant in [*COMMON, *BUILTIN]))
    assert {id_ for id_, one in CLAUSES.items() if ClauseKind.ORDERING in one.kinds} - broken == set()


def test_bugs_that_share_a_build_are_told_apart_by_their_clauses() -> None:
    for batch in BATCHES:
        named = [id_ for mutant in batch.mutants for id_ in mutant.clauses]
        assert len(named) == len(set(named)), batch.name
    assert sorted(m.name for batch in BATCHES for m in batch.mutants) == sorted(
        m.name for m in (*MUTANTS, *CROSSED, *HIDDEN)
    )
