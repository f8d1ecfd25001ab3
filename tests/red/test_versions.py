"""Proves that other versions of a module are judged as far as they go, and that bisecting works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import SubjectPanic
from frame_harness.image import build
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.machine.definition import load_machine
from tests.support.doors import ROOT, SOURCES, Judged, check
from tests.support.mutants import broken, mutated
from tests.support.versions import BEFORE_MOVABLE, CHATTY, OLDER, UNJUDGEABLE, split

RUN = ("--machine", "microvm", "--profile", "release", "-n", "1")
PROGRAM = (sys.executable, "-c", "from frame_harness.cli.main import main; main()")
AFTER = "case $? in 0) exit 0;; 1|4|5) exit 1;; 2|130) exit 255;; *) exit 125;; esac"
FORGED = ("(1..REFCOUNT_UNUSED).contains(&count).then(|| count - 1)", "Some(count.wrapping_sub(1))")


def outcome(result: Judged, clause: str) -> tuple[str, str]:
    found = result.report["clauses"][clause]
    return found["outcome"], found["message"]


def test_a_version_is_judged_by_the_names_that_it_has(tmp_path: Path) -> None:
    subject = broken(BEFORE_MOVABLE)
    selected = "CONST or ALLOC-02 or ALLOC-08 or ALLOC-09 or GUARD-08"
    result = check(tmp_path, "--frame-rs", subject, *RUN, "-k", selected)
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out
    for id_ in ("CONST-04", "ALLOC-02", "ALLOC-08"):
        assert outcome(result, id_) == (
            "not-evaluated",
            "not in this version, which lacks frame_flags::MOVABLE",
        )
    # Random histories among them: the model knows of versions without movable frames.
    assert {outcome(result, id_)[0] for id_ in ("CONST-01", "CONST-05", "ALLOC-09")} == {"held"}
    assert "3 not in this version" in result.out.splitlines()[-1]


def test_a_much_older_version_is_judged_where_it_has_something_to_judge(tmp_path: Path) -> None:
    selection = (
        "REF-07 or REF-01 or REF-08 or ALLOC-15 or ARRAY-12 or FREE-01 or GEN-01 or GUARD-02 or LAYOUT-02"
    )
    result = check(tmp_path, "--frame-rs", OLDER, *RUN, "-k", selection)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out
    held = {id_ for id_, one in result.report["clauses"].items() if one["outcome"] == "held"}
    assert {"REF-07", "REF-01", "REF-08", "ALLOC-15", "ARRAY-12", "FREE-01"} <= held
    for id_ in ("GEN-01", "GUARD-02", "LAYOUT-02"):
        assert outcome(result, id_)[1].startswith("not in this version, which lacks "), id_


def test_a_bug_of_an_older_version_is_found(tmp_path: Path) -> None:
    subject = tmp_path / "frame.rs"
    subject.write_text(OLDER.read_text(encoding="utf-8").replace(*FORGED), encoding="utf-8")
    result = check(tmp_path, "--frame-rs", subject, *RUN, "-k", "REF-07 or GEN-01")
    assert (result.status, result.kind, result.violated) == (ExitCode.FAIL, VerdictKind.FAIL, {"REF-07"}), (
        result.out
    )


def test_a_selection_that_is_not_in_a_version_is_no_pass(tmp_path: Path) -> None:
    result = check(tmp_path, "--frame-rs", OLDER, *RUN, "-k", "GEN-01 or VT-02")
    assert (result.status, result.kind) == (ExitCode.UNJUDGEABLE, VerdictKind.UNJUDGEABLE), result.out
    assert "it lacks MetaSlot.generation" in result.out.splitlines()[-1]


@pytest.mark.parametrize("text", ["", UNJUDGEABLE], ids=["empty", "something-else"])
def test_what_cannot_be_judged_is_one_line_with_a_status_of_its_own(text: str, tmp_path: Path) -> None:
    subject = tmp_path / "frame.rs"
    subject.write_text(text)
    result = check(tmp_path, "--frame-rs", subject, *RUN)
    assert (result.status, result.kind, result.survivors) == (
        ExitCode.UNJUDGEABLE,
        VerdictKind.UNJUDGEABLE,
        (),
    )
    *progress, line = result.out.splitlines()  # a busy machine says what takes long
    assert all(re.search(r": done in \d+ s$|… \d+ s(, .*)?$", step) for step in progress), progress
    assert line.startswith("UNJUDGEABLE: frame.rs: this version cannot be judged: it lacks PAGE_SIZE, ")
    assert ("crate::vfs::Inode" in line) is bool(text)
    for command in ("orderings", "fuzz", "storm"):
        other = subprocess.run(
            [*PROGRAM, command, "--frame-rs", str(subject)],
            env={**os.environ, "PYTHONPATH": str(SOURCES)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert other.returncode == ExitCode.UNJUDGEABLE, other.stderr
        assert "this version cannot be judged: it lacks" in other.stderr + other.stdout


def test_a_module_with_modules_of_its_own_is_judged_in_place(tmp_path: Path) -> None:
    """They allocate, print and log besides, as a kernel's do."""
    subject = split(tmp_path, CHATTY)
    image = build(frame_module(subject), "release")
    place = image.function_line("MetaSlot::dec_ref")
    assert place is not None and Path(place[0]) == subject.with_name("frame") / "slot.rs"
    with Kernel.boot(image, load_machine("microvm")) as kernel:
        assert kernel.call("purpose.zero pagetable")["v"] == 1
        tail = kernel.console_tail(8)
        assert "# asked of PageTable, twice" in tail and "# a part" in tail
        assert "# WARN kernel_shim::memory::frame: mind 1" in tail
        for _ in range(2000):  # what is freed can be had again
            kernel.batch(["purpose.zero kernel"] * 10)
        with pytest.raises(SubjectPanic, match="memory allocation of 1048576 bytes failed"):
            kernel.call("purpose.zero custom:7")
        assert any("the frame module's own heap has 262144 bytes" in line for line in kernel.console_tail(20))
        assert kernel.call("purpose.zero kernel")["v"] == 0
    result = check(
        tmp_path, "--frame-rs", subject, *RUN, "-k", "REF-09 or FRAME-02 or test_s_races and REF-01"
    )
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out

    slot = subject.with_name("frame") / "slot.rs"
    text = slot.read_text(encoding="utf-8")
    assert text.count("            Ok(LAST) => {") <= 1
    slot.write_text(text.replace("fence(Acquire);", "", 1), encoding="utf-8")
    os.utime(slot, (0, 0))
    result = check(tmp_path, "--frame-rs", subject, *RUN, "-k", "REF-09")
    assert (result.status, result.violated) == (ExitCode.FAIL, {"REF-09"}), result.out
    assert f"{slot}:" in result.out.replace("\n", "").replace(" ", "")


def git(folder: Path, *words: str) -> str:
    """Run git on a repository without anybody's settings."""
    env = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHONPATH": str(SOURCES), "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_git_bisect_run_finds_the_commit_that_brought_a_fault(tmp_path: Path) -> None:
    """Of eight commits one cannot be judged, one does not compile; both are skipped."""
    assert AFTER in (ROOT / "README.md").read_text(encoding="utf-8")
    repository = tmp_path / "kernel"
    repository.mkdir()
    git(repository, "init", "-q")
    good = frame_module().path.read_text(encoding="utf-8")
    bad = mutated(tmp_path, (("        self == Self::PageTable\n", "        self == Self::KernelData\n"),))
    history = [
        ("begin", good), ("texts", good), ("interface", UNJUDGEABLE), ("syntax", "fn frame("), ("back", good),
        ("fault", bad.read_text(encoding="utf-8")), ("more texts", None), ("last", None),
    ]  # fmt: skip
    for name, text in history:
        if text is not None:
            (repository / "frame.rs").write_text(text, encoding="utf-8")
        (repository / "README").write_text(name, encoding="utf-8")
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", name)
    git(repository, "bisect", "start", "HEAD", "HEAD~7")
    script = f"{shlex.join(PROGRAM)} check --frame-rs frame.rs -k ALLOC-03 {shlex.join(RUN)}\n{AFTER}"
    said = git(repository, "bisect", "run", "sh", "-c", script)
    assert "is the first bad commit" in said and "\n    fault\n" in said, said
