"""Proves through the command line that a sound core passes, and that a broken one never does."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from frame_harness.base.units import PAGE_SIZE
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.memory_core.clauses import CORE_CLAUSES, OWNING, SLOT_CLAUSES
from frame_harness.memory_core.generate import Writer
from frame_harness.memory_core.steps import CaseOperation
from tests.support.core_mutants import CORE_MUTANTS, FAULTS, HANGS, MEMORY, TREE, CoreMutant, broken_tree
from tests.support.doors import check, open_check
from tests.support.owning_mutants import OWNING_MUTANTS
from tests.support.same_place import same_place

REAL = "FRAME_HARNESS_KERNEL_SRC"
RELEASE = ("--profile", "release")
ONE_PIECE = "0x400000..0x4000000 free"
EARLY = next(bug for bug in CORE_MUTANTS if bug.clause == "CORE-04")
TOTALS = next(bug for bug in CORE_MUTANTS if bug.clause == "CORE-20")


@pytest.mark.slow
def test_every_clause_holds_for_a_sound_core(tmp_path: Path) -> None:
    result = check(tmp_path, "--kernel-src", TREE)
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out
    outcomes = {judgement["outcome"] for judgement in result.report["clauses"].values()}
    assert outcomes == {"held"} and set(result.report["clauses"]) == set(CORE_CLAUSES)
    assert [run["run"]["profile"] for run in result.report["runs"]] == ["dev", "release"]


def test_a_case_is_played_again_and_shows_all_that_it_breaks(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), EARLY)
    result = check(tmp_path, "--kernel-src", tree, *RELEASE, "--case", ONE_PIECE)
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert EARLY.clause in result.violated
    [finding] = [one for one in result.report["findings"] if one["clause"] == EARLY.clause]
    assert finding["at"].startswith(f"{tree}/src/memory/buddy.rs:")
    assert finding["reproduce"].endswith(f"--kernel-src {tree} --profile release --case '{ONE_PIECE}'")


def test_the_cases_of_a_report_are_played_again_until_their_fault_is_mended(tmp_path: Path) -> None:
    # A path that no test had before: of a tree it stays noted which cases broke it and were not played again.
    tree, report = broken_tree(tmp_path, EARLY), tmp_path / "first.json"
    options = ("--kernel-src", tree, *RELEASE)
    first = check(tmp_path, *options, "--case", ONE_PIECE)
    shutil.copy(tmp_path / "report.json", report)
    again = check(tmp_path, *options, "--last-failed", report)
    assert (again.status, again.violated) == (ExitCode.FAIL, first.violated), again.out
    assert f"what was broken in {report}" in again.out.replace("\n", "")
    last = check(tmp_path, *options, "--last-failed")
    assert (last.status, last.violated) == (ExitCode.FAIL, first.violated), last.out
    assert "what was broken in the last run" in last.out
    other = check(tmp_path, "--kernel-src", tree, "--profile", "dev", "--last-failed")
    assert other.status == ExitCode.USAGE and other.says("expected cases in dev, got none"), other.out
    shutil.copy(MEMORY / EARLY.file, tree / "src" / "memory" / EARLY.file)
    mended = check(tmp_path, *options, "--last-failed", report)
    assert (mended.status, mended.violated) == (ExitCode.PASS, set()), mended.out


def test_a_finding_is_written_as_a_text_that_can_be_sent(tmp_path: Path) -> None:
    tree, texts = broken_tree(tmp_path, EARLY), tmp_path / "texts"  # in no repository
    texts.mkdir()
    (texts / "CORE-01.md").write_text("# A fault\n\nBroken promise (CORE-01): of an earlier run.\n")
    (texts / "mine.md").write_text("of somebody else")
    arguments = ("--kernel-src", tree, *RELEASE, "--case", ONE_PIECE, "-k", EARLY.clause)
    result = check(tmp_path, *arguments, "--upstream", texts)
    assert {file.name for file in texts.iterdir()} == {f"{EARLY.clause}.md", "mine.md"}, result.out
    text = (texts / f"{EARLY.clause}.md").read_text()
    assert CORE_CLAUSES[EARLY.clause].title in text and ONE_PIECE in text
    told, _, command = text.partition("## See it again")
    assert "Code: `buddy.rs:" in told and str(tmp_path) not in told
    assert f"--case '{ONE_PIECE}'" in command


def test_other_seeds_play_other_histories() -> None:
    def operations(seed: int) -> list[CaseOperation]:
        return Writer(random.Random(f"{seed}"), kinds=True, poison=True, slots=True).write(20)

    assert operations(1) == operations(1) != operations(2)


def test_a_selected_clause_alone_decides(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), TOTALS)
    case = f"{ONE_PIECE}; b1 = alloc 0 unmovable any; free b1; b2 = alloc 1 unmovable any"
    arguments = ("--kernel-src", tree, *RELEASE, "--case", case)
    result = check(tmp_path, *arguments, "-k", "CORE-04 or CORE-06")
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out
    result = check(tmp_path, *arguments, "-k", TOTALS.clause)
    assert (result.status, result.violated) == (ExitCode.FAIL, {TOTALS.clause}), result.out


def test_known_fault_of_a_core_is_no_failure(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), EARLY)
    known = tmp_path / "known.toml"
    case = ("--kernel-src", tree, *RELEASE, "--case", ONE_PIECE, "-k", EARLY.clause)
    known.write_text(f'[[finding]]\nid = "{EARLY.clause}"\nreason = "audited"\n')
    result = check(tmp_path, *case, "--baseline", known)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out


@pytest.mark.parametrize("bug", [HANGS, FAULTS], ids=lambda bug: bug.name)
def test_core_that_does_not_come_back_is_a_finding_with_its_function(bug: CoreMutant, tmp_path: Path) -> None:
    tree = broken_tree(same_place(), bug)
    case = f"{ONE_PIECE}; b1 = alloc 1 unmovable any; free b1"
    result = check(tmp_path, "--kernel-src", tree, *RELEASE, "--case", case)
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.violated == {bug.clause}, result.out
    [finding] = result.report["findings"]
    assert finding["at"].startswith(f"{tree}/src/memory/buddy.rs:"), finding


def test_panic_of_another_cpu_is_told_and_not_the_wait_for_its_lock(tmp_path: Path) -> None:
    call = "    core.free(frame.start_address.as_u64(), order);"
    tree = edited(same_place(), call, f'    assert!(current_cpu_index() == 0, "only CPU 0");\n{call}')
    case = f"{ONE_PIECE}; storm of 3 for 300 seed 1"
    result = check(tmp_path, "--kernel-src", tree, *RELEASE, "--case", case)
    assert (result.status, result.violated) == (ExitCode.FAIL, {"CORE-21"}), result.out
    [finding] = result.report["findings"]
    assert finding["got"] == "a panic: only CPU 0"
    assert finding["at"].startswith(f"{tree}/src/memory/buddy.rs:"), finding


def edited(folder: Path, old: str, new: str, file: str = "buddy.rs") -> Path:
    return broken_tree(folder, CoreMutant("", "edited", file, ((old, new),)))


def test_core_that_asks_for_what_nobody_offers_is_one_line_and_a_status_of_its_own(tmp_path: Path) -> None:
    use = "use super::boot_alloc::{self, Piece};"
    tree = edited(same_place(), use, f"use crate::memory::slab::Slab;\n{use}")
    result = check(tmp_path, "--kernel-src", tree, *RELEASE)
    assert (result.status, result.kind) == (ExitCode.UNJUDGEABLE, VerdictKind.UNJUDGEABLE), result.out
    assert "it asks its crate for crate::memory::slab::Slab (buddy.rs:" in result.out.splitlines()[-1]


def test_core_that_lacks_what_is_called_is_named(tmp_path: Path) -> None:
    tree = edited(same_place(), "pub fn page_totals", "pub fn page_sums")
    result = check(tmp_path, "--kernel-src", tree, *RELEASE)
    assert (result.status, result.kind) == (ExitCode.UNJUDGEABLE, VerdictKind.UNJUDGEABLE), result.out
    assert "it lacks page_totals" in result.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pub fn alloc_migratetype(", "pub(super) fn alloc_migratetype(", "`alloc_migratetype` is private"),
        ("fn page_totals(&self)", "fn page_totals(&self, _zone: ZoneType)", "takes 1 argument but 0"),
    ],
    ids=["keeps a function to itself", "takes other arguments"],
)
def test_core_with_another_interface_is_named_and_nobody_is_told_to_mend_it(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    result = check(tmp_path, "--kernel-src", edited(same_place(), old, new), *RELEASE)
    assert (result.status, result.kind) == (ExitCode.UNJUDGEABLE, VerdictKind.UNJUDGEABLE), result.out
    assert "what the shim calls: " in result.out and said in result.out, result.out


def test_core_in_more_files_and_seen_by_its_crate_alone_is_judged_as_any_other(tmp_path: Path) -> None:
    """Its own modules lie where its kernel's compiler looks for them, and a name need not be seen by all."""
    tree = edited(same_place(), "fn movable(kind", "mod small;\nuse small::unlinked;\n\nfn movable(kind")
    memory = tree / "src" / "memory"
    buddy = (memory / "buddy.rs").read_text()
    at, end = buddy.index("fn unlinked("), buddy.index("fn zone_of(")
    (memory / "buddy").mkdir()
    (memory / "buddy" / "small.rs").write_text(f"use super::*;\n\npub {buddy[at:end]}")
    (memory / "small.rs").write_text("this is another module")
    (memory / "buddy.rs").write_text(buddy[:at] + buddy[end:])
    frame, narrower = memory / "frame.rs", ("pub const REFCOUNT_UNUSED", "pub(crate) const REFCOUNT_UNUSED")
    frame.write_text(frame.read_text().replace(*narrower))
    result = check(
        tmp_path, "--kernel-src", tree, *RELEASE, "--case", f"{ONE_PIECE}; b1 = alloc 1 movable any"
    )
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out
    assert {id_ for id_ in SLOT_CLAUSES if result.report["clauses"][id_]["outcome"] == "held"} >= {"CORE-32"}
    assert not result.report["lacks"]


def test_core_whose_structures_have_other_members_cannot_be_judged(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), CoreMutant("", "renamed", "buddy.rs", ()))
    file = tree / "src" / "memory" / "buddy.rs"
    text = file.read_text().replace("    len: usize,", "    used: usize,").replace("cache.len", "cache.used")
    file.write_text(text.replace("LocalFrameCache { len: 0", "LocalFrameCache { used: 0"))
    result = check(tmp_path, "--kernel-src", tree, *RELEASE)
    assert (result.status, result.kind, result.survivors) == (
        ExitCode.UNJUDGEABLE,
        VerdictKind.UNJUDGEABLE,
        (),
    )
    assert "a member len in buddy::LocalFrameCache" in result.out.splitlines()[-1]


def test_core_that_keeps_its_state_elsewhere_cannot_be_judged(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), CoreMutant("", "renamed", "buddy.rs", ()))
    file = tree / "src" / "memory" / "buddy.rs"
    file.write_text(file.read_text().replace("BUDDY_ALLOCATOR", "THE_ALLOCATOR"))
    result = check(tmp_path, "--kernel-src", tree, *RELEASE)
    assert (result.status, result.kind, result.survivors) == (
        ExitCode.UNJUDGEABLE,
        VerdictKind.UNJUDGEABLE,
        (),
    )
    assert "buddy::BUDDY_ALLOCATOR" in result.out.splitlines()[-1]


def test_core_that_does_not_compile_is_shown_in_the_compiler_s_words(tmp_path: Path) -> None:
    tree = edited(same_place(), "pub fn page_totals", "pub fun page_totals")
    result = check(tmp_path, "--kernel-src", tree, *RELEASE)
    assert (result.status, result.kind) == (ExitCode.ERROR, VerdictKind.ERROR)
    assert f"fix {tree}/src/memory, then run the same command" in result.out


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT], ids=lambda signum: signum.name)
def test_campaign_that_is_stopped_leaves_no_guest(signum: signal.Signals, tmp_path: Path) -> None:
    with open_check(tmp_path, "--kernel-src", TREE, *RELEASE) as door:
        assert door.said("histories, 0 faults"), "it never told how far it is"
        os.killpg(door.process.pid, signum) if signum is signal.SIGINT else door.process.send_signal(signum)
        status, out = door.end()
        assert door.left_behind() == ()
    if signum is signal.SIGINT:
        assert status == ExitCode.INTERRUPTED, out
        assert "interrupted; every guest is gone" in out and "Traceback" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kernel-src", MEMORY, "--machine", "q35"), "--machine does not go with --kernel-src"),
        (
            ("--kernel-src", MEMORY, "--frame-rs", MEMORY / "frame.rs"),
            "--frame-rs does not go with --kernel-src",
        ),
        (("--case", ONE_PIECE), "--case goes with --kernel-src"),
        (("--kernel-src", MEMORY, "--case", "0x1000"), "copy the case from a report as it is"),
        (("--kernel-src", MEMORY, "--case", f"{ONE_PIECE}; free b1"), "expected `b1 = alloc …` before it"),
        (
            ("--kernel-src", MEMORY, "--case", "2000 islands of 1 from 0x400000"),
            "expected count from 0 to 1024",
        ),
        (("--kernel-src", MEMORY, "-k", "CORE-99"), "did you mean CORE-"),
        (("--kernel-src", "/nowhere"), "expected a folder, got nothing"),
    ],
)
def test_wrong_command_line_is_refused_before_anything_is_built(
    words: tuple[str | Path, ...], said: str, tmp_path: Path
) -> None:
    result = check(tmp_path, *words)
    assert result.status == ExitCode.USAGE and result.says(said), result.out
    assert "compiling" not in result.out and "Traceback" not in result.out


def test_a_case_that_the_core_refuses_judges_nothing(tmp_path: Path) -> None:
    result = check(tmp_path, "--kernel-src", TREE, *RELEASE, "--case", "0x400000..0x404000 free")
    assert (result.status, result.kind) == (ExitCode.NO_TESTS, VerdictKind.NO_TESTS), result.out
    assert result.says("the core refused the map: ")


def test_a_case_on_memory_that_is_not_there_blames_nobody(tmp_path: Path) -> None:
    result = check(tmp_path, "--kernel-src", TREE, *RELEASE, "--case", "0x100000..0x4000000 free")
    assert (result.status, result.kind) == (ExitCode.ERROR, VerdictKind.ERROR), result.out
    assert result.says("change the regions of the case") and not result.report["findings"]


@pytest.mark.parametrize("operation", ["storm of 2 for 300 seed 1", "page tables plain seed 2"])
@pytest.mark.parametrize("frames", [17, 24, 37])
def test_little_memory_is_no_fault_of_a_core(frames: int, operation: str, tmp_path: Path) -> None:
    """Those who had the frames wrote to them; and there are too few for all tables."""
    case = f"0x400000..{0x400000 + frames * PAGE_SIZE:#x} free; {operation}"
    result = check(tmp_path, "--kernel-src", TREE, *RELEASE, "--case", case)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out


@pytest.mark.slow
def test_core_of_a_real_kernel_is_judged(tmp_path: Path) -> None:
    tree = os.environ.get(REAL)
    if not tree:
        pytest.skip(f"{REAL} is not set: set it to the folder of a real kernel's sources")
    result = check(tmp_path, "--kernel-src", tree)
    assert result.kind in (VerdictKind.PASS, VerdictKind.FAIL) and result.survivors == (), result.out


@pytest.mark.parametrize(
    ("old", "new", "without"),
    [
        (
            "use smallvec::{",
            "use crate::process::Pid;\nuse smallvec::{",
            "crate::process::Pid (ownership.rs:",
        ),
        ("pub fn release(&self, ", "pub fn release(&self, _pid: u32, ", "what the shim calls: "),
        ("pub fn handle_for_base(", "pub fn handle_at(", "handle_for_base of ownership.rs"),
    ],
    ids=["asks for another name", "takes another argument", "lacks a function"],
)
def test_owners_of_blocks_that_are_made_for_another_kernel_are_left_out_and_the_reason_is_told(
    old: str, new: str, without: str, tmp_path: Path
) -> None:
    tree = edited(same_place(), old, new, "ownership.rs")
    result = check(tmp_path, "--kernel-src", tree, *RELEASE, "--case", ONE_PIECE)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out
    assert f"not judged: block.rs, block_meta.rs, ownership.rs, cow.rs (without {without}" in result.out
    [lack] = result.report["lacks"]
    assert lack.startswith(without)
    absent = {id_ for id_, one in result.report["clauses"].items() if lack in one.get("lacks", ())}
    assert absent == set(OWNING)


def test_copy_on_write_of_a_case_is_played_again(tmp_path: Path) -> None:
    bug = next(bug for bug in OWNING_MUTANTS if bug.clause == "CORE-39")
    case = f"{ONE_PIECE}; copy on write of 2 by caps seed 1"
    result = check(tmp_path, "--kernel-src", broken_tree(same_place(), bug), *RELEASE, "--case", case)
    assert (result.status, result.violated) == (ExitCode.FAIL, {"CORE-39"}), result.out
    [finding] = result.report["findings"]
    assert finding["reproduce"].endswith(f"--case '{case}'") and finding["function"].startswith("cow::")
