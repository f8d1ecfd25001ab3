"""Proves the model of an ownership table, and what the harness says of the files that keep one."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Pfn, frames_from
from frame_harness.memory_core.ownership import (
    ALL,
    PARTS,
    REQUESTS,
    BlockReferences,
    Handle,
    OwnershipRefused,
    after,
    around,
    part_of,
)
from frame_harness.memory_core.owning_files import OWNERSHIP, lacking
from frame_harness.memory_core.owning_histories import OwningWriter
from frame_harness.memory_core.owning_steps import CopyOnWrite, Own
from frame_harness.memory_core.steps import Alloc, CaseOperation, Free, parsed, require_sense
from frame_harness.memory_core.tree import FEATURE, NEEDED, described, memory_core, without_ownership
from frame_harness.memory_core.worker import require_owners
from tests.support.core_mutants import TREE

BLOCK: Handle = (Pfn(16), 2)
ONE, TWO = BlockReferences(frozenset([1])), BlockReferences(frozenset([1, 2]), pins=1)


def test_a_claim_makes_an_entry_with_one_reference() -> None:
    for how in ("claim", "ensure"):
        assert after({}, how, BLOCK, 7) == BlockReferences(frozenset([7]))
    assert (ONE.count, ONE.state, TWO.count, TWO.state) == (1, "Exclusive", 3, "Shared")


@pytest.mark.parametrize("claimed", [(16, 2), (16, 0), (19, 0), (18, 1), (16, 3), (0, 11)])
def test_a_claim_of_frames_that_are_owned_is_refused(claimed: Handle) -> None:
    outcome = after({BLOCK: ONE}, "claim", claimed, 3)
    assert isinstance(outcome, OwnershipRefused) and outcome.overlaps


@pytest.mark.parametrize("claimed", [(15, 0), (20, 2), (12, 2)])
def test_a_claim_of_frames_beside_an_owned_block_is_not(claimed: Handle) -> None:
    assert after({BLOCK: ONE}, "claim", claimed, 3) == BlockReferences(frozenset([3]))


@pytest.mark.parametrize(
    ("how", "cap", "outcome"),
    [
        ("ensure", 3, BlockReferences(frozenset([1, 2, 3]), pins=1)),
        ("add", 3, BlockReferences(frozenset([1, 2, 3]), pins=1)),
        ("remove", 2, BlockReferences(frozenset([1]), pins=1)),
        ("pin", 0, BlockReferences(frozenset([1, 2]), pins=2)),
        ("inc", 0, BlockReferences(frozenset([1, 2]), pins=2)),
        ("unpin", 0, BlockReferences(frozenset([1, 2]))),
        ("dec", 0, BlockReferences(frozenset([1, 2]))),
    ],
)
def test_a_request_changes_one_reference(how: str, cap: int, outcome: BlockReferences) -> None:
    assert after({BLOCK: TWO}, how, BLOCK, cap) == outcome


@pytest.mark.parametrize(
    ("how", "cap"), [("add", 1), ("ensure", 2), ("remove", 3), ("release", 3), ("release", 1)]
)
def test_a_request_that_cannot_be_done_is_refused(how: str, cap: int) -> None:
    outcome = after({BLOCK: TWO}, how, BLOCK, cap)
    assert isinstance(outcome, OwnershipRefused) and not outcome.overlaps


@pytest.mark.parametrize("how", sorted(set(REQUESTS) - {"claim", "ensure"}))
def test_what_nobody_owns_is_refused_everything_but_a_claim(how: str) -> None:
    assert isinstance(after({}, how, BLOCK, 1), OwnershipRefused)


def test_the_last_reference_leaves_nothing_whatever_it_is() -> None:
    for how in ("remove", "release"):
        assert after({BLOCK: ONE}, how, BLOCK, 1) is None
    for how in ("unpin", "dec"):
        assert after({BLOCK: BlockReferences(frozenset(), pins=1)}, how, BLOCK, 0) is None
        assert isinstance(after({BLOCK: ONE}, how, BLOCK, 0), OwnershipRefused)


def test_a_block_is_around_each_of_its_frames_and_no_other() -> None:
    assert [pfn for pfn in frames_from(Pfn(10), 20) if around({BLOCK: ONE}, pfn) == BLOCK] == [16, 17, 18, 19]


def test_parts_of_a_block_share_frames_with_it() -> None:
    parts = {part: part_of(BLOCK, part, 11) for part in PARTS}
    assert parts == {ALL: BLOCK, "head": (16, 1), "tail": (18, 1), "page": (19, 0), "around": (16, 3)}
    assert [part for part in PARTS if part_of((Pfn(16), 0), part, 0) is None] == list(PARTS[1:])


def test_a_history_of_owners_frees_what_it_took_most_of_the_time() -> None:
    ended = 0
    for seed in range(100):
        steps = OwningWriter(random.Random(seed), kinds=True).write(12)
        ended += not left_by(steps)
    assert ended > 60


def left_by(steps: list[CaseOperation]) -> set[str]:
    """The blocks that are still owned, or given, behind some steps that all are carried out."""
    owners: dict[str, BlockReferences] = {}
    there: set[str] = set()
    for step in steps:
        if isinstance(step, Alloc):
            there.add(step.name)
        elif isinstance(step, Free):
            there.discard(step.name)
        elif (
            isinstance(step, Own) and step.name in there and (step.part == ALL or step.how in ("inc", "dec"))
        ):
            entry = owners.get(step.name)
            outcome = after({BLOCK: entry} if entry else {}, step.how, BLOCK, step.cap)
            if isinstance(outcome, BlockReferences):
                owners[step.name] = outcome
            elif outcome is None:
                del owners[step.name]
                there.discard(step.name)
    return there


def test_other_seeds_write_other_histories_of_owners() -> None:
    def written(seed: int) -> list[CaseOperation]:
        return OwningWriter(random.Random(seed), kinds=True).write(12)

    assert written(1) == written(1) != written(2)
    tried = {step.how for seed in range(60) for step in written(seed) if isinstance(step, Own)}
    assert tried == set(REQUESTS)


@pytest.mark.parametrize("text", ["own pin all of b1", "mark cow b1"])
def test_an_owner_of_a_block_that_is_never_asked_for_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="before it"):
        require_sense(parsed(text))


@pytest.mark.parametrize(
    "text", ["own pin all of b1 as 2", "own add all of b1", "own add some of b1 as 1", "mark red b1",
             "copy on write of 9 by caps seed 1", "copy on write of 2 by words seed 1"],
)  # fmt: skip
def test_a_step_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="copy the case from a report"):
        parsed(text)


def test_a_case_with_owners_needs_a_core_that_knows_them() -> None:
    require_owners((CopyOnWrite(2, "caps", 1),), "")
    require_owners((Alloc("b1", 0),), "cow.rs")
    with pytest.raises(UsageError, match=r"one without cow\.rs"):
        require_owners((CopyOnWrite(2, "caps", 1),), "cow.rs")


def tree_of(folder: Path) -> Path:
    return shutil.copytree(TREE / "src" / "memory", folder / "src" / "memory")


def test_the_files_of_owners_are_judged_where_all_of_them_are_there(tmp_path: Path) -> None:
    memory = tree_of(tmp_path)
    subject = memory_core(tmp_path)
    assert (subject.parts, subject.features) == ((*NEEDED, *OWNERSHIP), (FEATURE,))
    assert lacking(memory) == "" and "not judged" not in described(subject)


@pytest.mark.parametrize("name", OWNERSHIP)
def test_a_file_of_owners_that_is_missing_leaves_all_of_them_out(name: str, tmp_path: Path) -> None:
    memory = tree_of(tmp_path)
    (memory / name).unlink()
    subject = memory_core(tmp_path)
    assert (subject.parts, subject.features, lacking(memory)) == (NEEDED, (), name)
    others = ", ".join(one for one in OWNERSHIP if one != name)
    assert described(subject).endswith(f"compiled in place; not judged: {others} (without {name})")


def test_a_function_that_is_missing_leaves_them_out_and_is_named(tmp_path: Path) -> None:
    memory = tree_of(tmp_path)
    file = memory / "ownership.rs"
    file.write_text(file.read_text().replace("pub fn pin(", "pub fn hold("))
    assert lacking(memory) == "pin of ownership.rs" and memory_core(tmp_path).parts == NEEDED


def test_a_core_without_its_owners_is_another_subject(tmp_path: Path) -> None:
    tree_of(tmp_path)
    whole = memory_core(tmp_path)
    narrow = without_ownership(whole)
    assert (narrow.parts, narrow.features) == (NEEDED, ()) and narrow.sha256 != whole.sha256
    assert "cow.rs (without crate::x)" in described(narrow, "crate::x")
