"""Proves that `--last-failed` makes the checks that were broken, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import check, write_machine
from tests.support.mutants import Edit, mutated

WRONG: Edit = (
    "Self { start_address: addr.align_down(PAGE_SIZE) }",
    "Self { start_address: addr.align_down(PAGE_SIZE) + u64::from(addr.as_u64() == 4097) * PAGE_SIZE }",
)
FRAMES = "test_containing_address_clears_the_low_bits"


def made(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["check"], one["outcome"]) for run in report["runs"] for one in run["checks"]]


def test_last_failed_makes_what_was_broken_until_it_is_mended(tmp_path: Path) -> None:
    # A path that no test had before: of a file it stays noted what was broken and did not run again.
    subject = mutated(tmp_path, [WRONG])
    options = ("--machine", write_machine(tmp_path), "--profile", "release", "--frame-rs", subject)
    first = check(tmp_path, *options, "-k", FRAMES)
    [broken_check] = [name for name, outcome in made(first.report) if outcome == "violated"]
    assert len(made(first.report)) > 1

    again = check(tmp_path, *options, "--last-failed")
    assert (again.status, made(again.report)) == (ExitCode.FAIL, [(broken_check, "violated")])
    assert "what was broken in the last run" in again.out

    same = check(tmp_path, *options, "--last-failed", tmp_path / "report.json")
    assert same.status == ExitCode.USAGE and same.says("the run itself reads that file")

    elsewhere = check(tmp_path, *options, "--last-failed", "-k", "test_range_at_each_boundary")
    assert (
        elsewhere.status == ExitCode.USAGE
        and "--last-failed: 1 check: expected of the chosen machines and checks" in elsewhere.out
    )

    mutated(subject.parent, [])
    mended = check(tmp_path, *options, "--last-failed")
    assert (mended.status, made(mended.report)) == (ExitCode.PASS, [(broken_check, "passed")])

    nothing = check(tmp_path, *options, "--last-failed", "-k", FRAMES)
    assert nothing.status == ExitCode.PASS and len(made(nothing.report)) == len(made(first.report))
    assert "no check was broken in the last run: every check is made" in nothing.out
