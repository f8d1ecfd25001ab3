"""Proves that the built-in allocators keep the clauses of a memory core, and that each notices a bug."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from frame_harness.archive.folder import Archive
from frame_harness.base import resources
from frame_harness.cli.main import cli
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.builtin import BUILTIN, WITHOUT_OWNERSHIP, builtin_core
from frame_harness.memory_core.campaign import campaign, large_site, small_site, work_site
from frame_harness.memory_core.clauses import CORE_CLAUSES, OWNING
from frame_harness.memory_core.cores import Cores
from frame_harness.memory_core.play import play
from frame_harness.memory_core.steps import parsed, written
from frame_harness.memory_core.worker import SEED
from tests.support.builtin_mutants import BUILTIN_MUTANTS, broken_shim
from tests.support.core_mutants import CoreMutant
from tests.support.doors import check
from tests.support.mutants import mutated
from tests.support.same_place import same_place

RELEASE = ("--profile", "release")
ONE_PIECE = "0x400000..0x4000000 free"
RACE_TRIES = 20
MOST_STEPS = 12
SHOWN = [clause for clause in CORE_CLAUSES if clause not in OWNING]
REPRESENTATIVE = next(bug for bug in BUILTIN_MUTANTS if bug.clause == "CORE-17")
LATE = next(bug for bug in BUILTIN_MUTANTS if bug.clause == "CORE-22")


@pytest.mark.whole
def test_every_clause_that_the_built_in_core_can_show_holds(tmp_path: Path) -> None:
    result = check(tmp_path, "--core")
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out
    outcomes = {id_: one["outcome"] for id_, one in result.report["clauses"].items()}
    assert [id_ for id_, outcome in outcomes.items() if outcome == "held"] == SHOWN
    assert result.report["lacks"] == [WITHOUT_OWNERSHIP]
    assert [run["run"]["profile"] for run in result.report["runs"]] == ["dev", "release"]


def test_a_case_of_the_built_in_core_passes(tmp_path: Path) -> None:
    case = f"{ONE_PIECE}; b1 = alloc 3 movable dma; free b1; storm of 2 for 200 seed 1"
    result = check(tmp_path, "--core", *RELEASE, "--case", case)
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out


def test_a_broken_frame_module_is_found_and_the_command_to_see_it_again_is_told(tmp_path: Path) -> None:
    file = mutated(same_place(), LATE.edits)
    case = f"{ONE_PIECE}; page tables late seed 1"
    result = check(
        tmp_path, "--core", "--frame-rs", file, *RELEASE, "--case", case, "--out", tmp_path / "out"
    )
    assert (result.status, result.violated) == (ExitCode.FAIL, {"CORE-22"}), result.out
    [finding] = result.report["findings"]
    assert finding["at"].startswith(f"{file}:") and finding["function"] == "FrameAllocOptions::allocate"
    assert finding["reproduce"].endswith(f"--core --frame-rs {file} --profile release --case '{case}'")
    report = tmp_path / "first.json"
    shutil.copy(tmp_path / "report.json", report)
    last = check(tmp_path, "--core", "--frame-rs", file, *RELEASE, "--last-failed", report)
    assert (last.status, last.violated) == (ExitCode.FAIL, {"CORE-22"}), last.out
    file.unlink()
    require_evidence(tmp_path / "out", result.out, case)


def require_evidence(folder: Path, out: str, case: str) -> None:
    """Require an archive to say what the run said, without the subject, the build folder and any tool."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    alone = {"FRAME_HARNESS_CACHE": str(folder / "nowhere"), "PATH": ""}
    again = CliRunner().invoke(cli, ["judge", str(elsewhere)], env=alone)
    said = again.output.replace("evidence: failures/", f"evidence: {folder.name}/failures/")
    assert (again.exit_code, said in out) == (ExitCode.FAIL, True), again.output
    assert said != again.output, "a finding names the folder with what its guests left"
    assert not folder.exists()
    [failure] = Archive.open(elsewhere).failures
    guest = failure.guests[-1]
    assert failure.result is not None and failure.result.case == failure.record.case == case
    assert case in (failure.folder / "map.txt").read_text(encoding="utf-8")
    assert guest.changed_by == "page tables late seed 1" and guest.commands[0].line == "core.start"
    assert failure.before is not None and failure.after is not None and failure.life is not None
    assert failure.after.zones and len(failure.life.slots) == 2 and "=1 ok" in failure.console


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--core", "--kernel-src", "/nowhere"), "--core does not go with --kernel-src"),
        (("--core", "--machine", "q35"), "--machine does not go with --core"),
        (("--core", "--since", "HEAD"), "--since does not go with --core"),
        (("--core", "--case", ONE_PIECE, "--last-failed"), "--case does not go with --last-failed"),
        (("--core", "--frame-rs", "/nowhere.rs"), "/nowhere.rs"),
        (("--core", "-k", "CORE-99"), "did you mean CORE-"),
        (("--seed", "2"), "--seed goes with --kernel-src or --core"),
        (("--since", "HEAD"), "--since goes with --kernel-src"),
    ],
)
def test_wrong_command_line_is_refused_before_anything_is_built(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = check(tmp_path, *words)
    assert result.status == ExitCode.USAGE and result.says(said), result.out
    assert "compiling" not in result.out and "Traceback" not in result.out


def test_a_case_with_owners_of_blocks_is_refused(tmp_path: Path) -> None:
    case = f"{ONE_PIECE}; copy on write of 2 by caps seed 1"
    result = check(tmp_path, "--core", *RELEASE, "--case", case)
    assert result.status == ExitCode.ERROR and result.says("expected a core that knows the owners"), (
        result.out
    )
    assert not result.report["findings"]


def test_every_clause_that_the_built_in_core_can_show_has_a_bug() -> None:
    assert {bug.clause for bug in BUILTIN_MUTANTS} == set(SHOWN)


@pytest.mark.parametrize("bug", BUILTIN_MUTANTS, ids=str)
def test_every_bug_of_the_built_in_core_has_its_place(bug: CoreMutant, tmp_path: Path) -> None:
    assert broken_shim(tmp_path, bug).is_dir()


def test_a_bug_of_the_built_in_core_is_found_first_by_its_clause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(REPRESENTATIVE, tmp_path, monkeypatch)


@pytest.mark.whole
@pytest.mark.parametrize("bug", [bug for bug in BUILTIN_MUTANTS if bug is not REPRESENTATIVE], ids=str)
def test_every_other_bug_of_the_built_in_core_is_found_first_by_its_clause(
    bug: CoreMutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(bug, tmp_path, monkeypatch)


def find(bug: CoreMutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a campaign find a bug; what it finds first has to be the bug's clause, in a short case."""
    shim = broken_shim(tmp_path, bug)
    monkeypatch.setattr(resources, "shim_dir", lambda: shim)
    image, machine = build(builtin_core(), "release"), load_machine("microvm")
    with Cores(partial(BootedGuest.start, image, machine), lambda guest: guest.finish(), BUILTIN) as cores:
        sites = [small_site(cores.small), large_site(cores.large)]
        tally = campaign(sites, SEED, lambda so_far: not so_far.found, work_site(cores.counting))
        assert tally.found, f"nothing was found in {tally.maps} maps and {tally.histories} histories"
        failure = next(iter(tally.found.values())).failure
        case = written(failure.steps)
        # A race does not show each time.
        tries = RACE_TRIES if bug.clause == "CORE-21" else 1
        again = (play(cores.of_case(parsed(case)), parsed(case)) for _ in range(tries))
        shown = next(filter(None, again), None)
    assert failure.violation.clause == bug.clause, f"{failure.violation} {failure.commands}"
    assert shown is not None and shown.violation.clause == bug.clause, "its text shows something else"
    assert len(failure.steps) <= MOST_STEPS, case
