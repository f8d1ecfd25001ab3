"""Proves that the faults of a core are followed back to the commits that brought them."""

from __future__ import annotations

import os
import shutil
import signal
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base.resources import build_dir
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.memory_core.versions import VERSIONS
from tests.support.core_mutants import CORE_MUTANTS, MEMORY, TREE
from tests.support.doors import Judged, check, open_check
from tests.support.repositories import Repo

EARLY = next(bug for bug in CORE_MUTANTS if bug.clause == "CORE-04")
TOTALS = next(bug for bug in CORE_MUTANTS if bug.clause == "CORE-20")
CASE = "0x400000..0x4000000 free; b1 = alloc 0 unmovable any; free b1; b2 = alloc 1 unmovable any"
ONE_CASE = ("--profile", "release", "--case", CASE)
Edits = Sequence[tuple[str, str]]
BROKEN: Edits = (("pub fn page_totals", "pub fun page_totals"),)
RENAMED: Edits = (("pub fn page_totals", "pub fn page_sums"),)


@dataclass
class Kernel:
    """A repository with the tests' kernel tree."""

    repo: Repo

    @classmethod
    def make(cls, root: Path) -> Kernel:
        shutil.copytree(TREE, root)  # links are followed
        repo = Repo.make(root)
        repo.commit("Begin")
        return cls(repo)

    @property
    def buddy(self) -> Path:
        return self.repo.root / "src" / "memory" / "buddy.rs"

    def edit(self, edits: Edits, back: Edits = ()) -> None:
        text = self.buddy.read_text()
        for old, new in [*((new, old) for old, new in back), *edits]:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.buddy.write_text(text)

    def commit(self, subject: str, edits: Edits = (), back: Edits = ()) -> str:
        self.edit(edits, back)
        return self.repo.commit(subject)


def followed(result: Judged) -> dict[str, dict[str, Any]]:
    return {finding["clause"]: finding["origin"] for finding in result.report["findings"]}


def nothing_is_left(temporary: Path) -> bool:
    return list(temporary.iterdir()) == [] and not (build_dir() / VERSIONS).exists()


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of the processes that a test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_each_fault_is_followed_to_the_commit_that_brought_it(tmp_path: Path, temporary: Path) -> None:
    kernel = Kernel.make(tmp_path / "kernel")
    kernel.repo.commit("Explain", {"README": "words"})
    sound = kernel.commit("Say more", (("pub fn page_totals", "// All zones.\npub fn page_totals"),))
    early = kernel.commit("Begin a zone at its first page", EARLY.edits)
    kernel.commit("Work in progress", BROKEN)
    kernel.commit("Rename", (*RENAMED, *TOTALS.edits), back=BROKEN)
    newest = kernel.commit("Name it as before", back=RENAMED)
    before = kernel.repo.state()
    texts, junit = tmp_path / "texts", tmp_path / "junit.xml"
    result = check(
        tmp_path, "--kernel-src", kernel.repo.root, "--since", "HEAD~6", *ONE_CASE, "--upstream", texts,
        "--junit", junit, env={"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert (result.status, result.survivors) == (ExitCode.FAIL, ()), result.out
    assert kernel.repo.state() == before and nothing_is_left(temporary)

    origin, other = (followed(result)[bug.clause] for bug in (EARLY, TOTALS))
    assert (origin["kind"], origin["commit"]["id"], origin["before"]["id"]) == ("brought", early, sound)
    assert (other["kind"], other["commit"]["id"], other["before"]["id"]) == ("between", newest, early)
    compiled, interface = (one["why"] for one in other["unjudged"])
    assert compiled.startswith("it does not compile: ") and "it lacks page_totals" in interface

    words = f'brought by {early[:7]} 2026-01-02 "Begin a zone at its first page"'
    assert result.says(f"history {words}") and "2 versions in between cannot be judged" in result.out
    assert f"- History: {words}\n" in (texts / f"{EARLY.clause}.md").read_text()
    failures = [one.text or "" for one in ET.parse(junit).iter("failure")]
    assert any(f"history: {words}" in text for text in failures)


def test_fault_in_the_oldest_version_and_one_that_is_not_committed_are_told_apart(tmp_path: Path) -> None:
    kernel = Kernel.make(tmp_path / "kernel")
    oldest = kernel.commit("Begin early", EARLY.edits)
    kernel.edit(TOTALS.edits)
    result = check(tmp_path, "--kernel-src", kernel.buddy.parent, "--since", "HEAD", *ONE_CASE)
    assert result.status == ExitCode.FAIL, result.out
    origin, other = (followed(result)[bug.clause] for bug in (EARLY, TOTALS))
    assert (origin["kind"], origin["commit"]["id"]) == ("already", oldest)
    assert (other["kind"], other["commit"]["id"], other["before"]["id"]) == ("brought", "", oldest)
    assert result.says("the oldest one looked at") and result.says("not committed yet; ")


@pytest.mark.whole
def test_fault_that_showed_by_other_cases_first_is_older_than_its_own_case(tmp_path: Path) -> None:
    kernel = Kernel.make(tmp_path / "kernel")
    [(sound, bad)] = EARLY.edits
    condition = "zone_type == ZoneType::DMA"
    hidden = bad.replace(condition, f"{condition} && end != 0x800000")
    oldest = kernel.commit("Begin early, but in one place", ((sound, hidden),))
    kernel.commit("Begin early", ((hidden, bad),))
    case = "0x400000..0x800000 free; 0x800000..0x900000 reserved"
    arguments = (
        "--kernel-src",
        kernel.repo.root,
        "--since",
        "HEAD~1",
        "--profile",
        "release",
        "--case",
        case,
    )
    result = check(tmp_path, *arguments, "-k", EARLY.clause)
    assert result.status == ExitCode.FAIL, result.out
    origin = followed(result)[EARLY.clause]
    assert (origin["kind"], origin["commit"]["id"]) == ("already", oldest), result.out
    assert origin["case"] not in ("", case) and f"there by --case '{origin['case']}'" in result.out


def test_selected_clause_alone_is_followed(tmp_path: Path) -> None:
    kernel = Kernel.make(tmp_path / "kernel")
    kernel.commit("Both", (*EARLY.edits, *TOTALS.edits))
    kernel.commit("Say more", (("pub fn page_totals", "// All zones.\npub fn page_totals"),))
    result = check(
        tmp_path, "--kernel-src", kernel.repo.root, "--since", "HEAD~1", *ONE_CASE, "-k", "CORE-20"
    )
    assert set(followed(result)) == {TOTALS.clause} and "1 finding to follow" in result.out, result.out


def test_search_that_is_stopped_leaves_nothing_and_keeps_the_findings(
    tmp_path: Path, temporary: Path
) -> None:
    kernel = Kernel.make(tmp_path / "kernel")
    kernel.commit("Begin early", EARLY.edits)
    before = kernel.repo.state()
    arguments = ("--kernel-src", kernel.repo.root, "--since", "HEAD~1", *ONE_CASE)
    with open_check(tmp_path, *arguments, env={"TMPDIR": str(temporary)}) as door:
        assert door.said("history: round 1"), "it never began to follow"
        os.killpg(door.process.pid, signal.SIGINT)
        status, out = door.end()
        assert door.left_behind() == ()
    assert status == ExitCode.INTERRUPTED and "Traceback" not in out, out
    assert "interrupted; every guest is gone" in out and EARLY.clause in out
    assert kernel.repo.state() == before and nothing_is_left(temporary)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--frame-rs", MEMORY / "frame.rs", "--since", "HEAD"), "--since goes with --kernel-src"),
        (("--kernel-src", "kernel", "--since", "v9.9"), "expected a commit of"),
        (("--kernel-src", "kernel", "--since", "HEAD"), "got no commit after it does"),
        (("--kernel-src", "copy", "--since", "HEAD"), "expected a folder in a git repository"),
    ],
)
def test_history_that_cannot_be_followed_is_refused_before_anything_is_built(
    words: tuple[str | Path, ...], said: str, tmp_path: Path
) -> None:
    Kernel.make(tmp_path / "kernel")
    shutil.copytree(TREE, tmp_path / "copy")
    result = check(tmp_path, *words)
    assert result.status == ExitCode.USAGE and result.says(said), result.out
    assert "compiling" not in result.out and "Traceback" not in result.out
