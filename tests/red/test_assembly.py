"""Proves that assembly in a subject is read as what it does, and never taken for something that it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.orderings.checker import check_orderings
from frame_harness.orderings.report import OrderingReport
from tests.support.assembly_variants import BROKEN, OBSCURE, SOUND, AssemblyVariant, zero
from tests.support.doors import check


def judged(variant: AssemblyVariant, folder: Path, profile: str) -> OrderingReport:
    path = folder / "frame.rs"
    path.write_text(variant.apply(frame_module().path.read_text(encoding="utf-8")), encoding="utf-8")
    return check_orderings(frame_module(path), profile, ORDERINGS, find_toolchain())


def having(report: OrderingReport, outcome: str) -> set[str]:
    return {clause for clause, found in report.clauses.items() if found == outcome}


def name_of(variant: AssemblyVariant) -> str:
    return variant.name


def profile_of(variant: AssemblyVariant) -> str:
    """Every other variant in the other profile: the same for each run, both are exercised."""
    return ("dev", "release")[sum(variant.name.encode()) % 2]


@pytest.mark.parametrize("variant", SOUND, ids=name_of)
def test_sound_assembly_holds(variant: AssemblyVariant, tmp_path: Path) -> None:
    report = judged(variant, tmp_path, profile_of(variant))
    assert report.violations == ()
    assert report.unjudged == ()


@pytest.mark.parametrize("variant", BROKEN, ids=name_of)
def test_broken_assembly_is_caught_at_its_line(variant: AssemblyVariant, tmp_path: Path) -> None:
    report = judged(variant, tmp_path, profile_of(variant))
    assert having(report, "violated") == variant.violated
    assert report.unjudged == ()
    assert all(violation.line > 0 for violation in report.violations)


@pytest.mark.parametrize("variant", OBSCURE, ids=name_of)
def test_assembly_that_is_not_understood_is_never_held(variant: AssemblyVariant, tmp_path: Path) -> None:
    report = judged(variant, tmp_path, profile_of(variant))
    assert having(report, "not-evaluated") == variant.unjudged
    assert report.violations == ()
    assert all(unknown.line > 0 and unknown.why for unknown in report.unjudged)


def test_a_run_with_assembly_that_is_not_understood_is_no_pass(tmp_path: Path) -> None:
    """Other checks of the clause pass here: what one of them could not judge still stands against it."""
    subject = tmp_path / "frame.rs"
    text = frame_module().path.read_text(encoding="utf-8")
    code = 'if false { core::arch::asm!("xrstor [{}]", in(reg) p); } p.write_bytes(0, 4096); '
    code += 'core::arch::asm!("test rsp, rsp", "jnz 2f", "xrstor [{}]", "2:", in(reg) p);'
    subject.write_text(zero(code)(text), encoding="utf-8")
    result = check(
        tmp_path, "--frame-rs", subject, "--machine", "microvm", "--profile", "release", "-n", "2",
        "-k", "ALLOC-16 or ALLOC-12",
    )  # fmt: skip
    assert (result.status, result.kind, result.violated) == (
        ExitCode.NO_TESTS,
        VerdictKind.NO_TESTS,
        set(),
    ), result.out
    line = next(n for n, words in enumerate(subject.read_text().splitlines(), 1) if "test rsp" in words)
    # Beside the clauses that are not evaluated, then as what stands against a pass: not once per check.
    place = f"frame.rs:{line}: `test rsp, rsp; jnz 2f; xrstor [{{0}}]; 2:`"
    assert result.out.count(place) == 2, result.out
