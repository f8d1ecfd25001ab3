"""Proves that weakened orderings are caught, harmless rewrites are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import convert

from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.compiler import Toolchain
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.diagrams import OrderingTrace
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.orderings.checker import check_orderings
from frame_harness.orderings.report import OrderingReport, OrderingViolation
from frame_harness.orderings.traces import trace_of
from tests.support.doors import check
from tests.support.ordering_mutants import COMMON, FENCE, HARMLESS, HOW, RELAXED
from tests.support.ordering_mutants_own import BUILTIN, BUILTIN_HARMLESS, CLAIM_IS_PUBLICATION
from tests.support.ordering_variants import Variant, body, weak

PROFILES = ("dev", "release")


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return find_toolchain()


def violated(report: OrderingReport) -> set[str]:
    return {clause for clause, outcome in report.clauses.items() if outcome == "violated"}


def judged(variant: Variant, subject: Subject, folder: Path, toolchain: Toolchain) -> OrderingReport:
    path = folder / "frame.rs"
    path.write_text(variant.apply(subject.path.read_text(encoding="utf-8")), encoding="utf-8")
    # Every other variant in the other profile: the same for each run, both are exercised.
    profile = PROFILES[sum(variant.name.encode()) % 2]
    return check_orderings(frame_module(path), profile, ORDERINGS, toolchain)


def name_of(variant: Variant) -> str:
    return variant.name


@pytest.mark.parametrize("profile", PROFILES)
def test_the_builtin_module_holds_every_ordering_clause(profile: str, toolchain: Toolchain) -> None:
    report = check_orderings(frame_module(), profile, ORDERINGS, toolchain)
    assert report.violations == ()
    assert set(report.clauses.values()) == {"held"}
    assert report.notes == ()
    assert len(report.proofs) == 2


@pytest.mark.parametrize("profile", PROFILES)
def test_a_real_module_breaks_the_two_hazards_alone(profile: str, real: Path, toolchain: Toolchain) -> None:
    report = check_orderings(frame_module(real), profile, ORDERINGS, toolchain)
    assert violated(report) == {"REF-09", "ALLOC-16"}
    assert any("GUARD-09" in note for note in report.notes)


@pytest.mark.parametrize("variant", [*COMMON, *BUILTIN], ids=name_of)
def test_a_weakened_builtin_is_caught(variant: Variant, tmp_path: Path, toolchain: Toolchain) -> None:
    report = judged(variant, frame_module(), tmp_path, toolchain)
    assert violated(report) >= variant.clauses
    for violation in report.violations:
        assert violation.line > 0
        assert violation.file == str(tmp_path / "frame.rs")
        assert violation.consequence
        expect_told(violation)


def expect_told(violation: OrderingViolation) -> None:
    """The trace names the access to blame once; where a CPU may see something old, it sees it."""
    trace = trace_of(violation)
    assert sum(event.weak for event in trace.events) <= 1
    assert any(event.weak for event in trace.events) == (violation.scene is not None), trace
    if "still see" in violation.consequence or "start from the same value" in violation.consequence:
        assert [event.found for event in trace.events if event.stale] == ["old"], trace


@pytest.mark.parametrize("variant", [*HARMLESS, *BUILTIN_HARMLESS], ids=name_of)
def test_a_harmless_rewrite_of_the_builtin_is_not(
    variant: Variant, tmp_path: Path, toolchain: Toolchain
) -> None:
    report = judged(variant, frame_module(), tmp_path, toolchain)
    assert report.violations == ()
    assert set(report.clauses.values()) == {"held"}


@pytest.mark.parametrize("variant", [v for v in (*COMMON, *CLAIM_IS_PUBLICATION) if v.clauses], ids=name_of)
def test_a_weakened_real_module_is_caught(
    variant: Variant, tmp_path: Path, real: Path, toolchain: Toolchain
) -> None:
    report = judged(variant, frame_module(real), tmp_path, toolchain)
    assert violated(report) >= variant.clauses


@pytest.mark.parametrize(
    "variant", [v for v in (*HARMLESS, *CLAIM_IS_PUBLICATION) if not v.clauses], ids=name_of
)
def test_a_harmless_rewrite_of_a_real_module_is_not(
    variant: Variant, tmp_path: Path, real: Path, toolchain: Toolchain
) -> None:
    report = judged(variant, frame_module(real), tmp_path, toolchain)
    assert violated(report) <= {"REF-09", "ALLOC-16"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dec_ref-relaxed", "the Acquire after it has no Release to pair with"),
        ("last-reference-without-its-fence", "no Acquire after it"),
    ],
)
def test_a_lost_edge_between_drops_says_which_end_is_missing(
    name: str, words: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    variant = next(v for v in (*COMMON, *BUILTIN) if v.name == name)
    report = judged(variant, frame_module(), tmp_path, toolchain)
    [got] = [violation.got for violation in report.violations if violation.clause == "REF-09"]
    assert words in got


FALLS_BACK = f"""
let mut count = self.refcount.load({RELAXED});
for _ in 0..200 {{
    match self.refcount.compare_exchange(count, count - 1, {HOW}::Release, {RELAXED}) {{
        Ok(1) => {{ {FENCE}({HOW}::Acquire); return 1 }}
        Ok(before) => return before,
        Err(found) => count = found,
    }}
}}
self.refcount.fetch_sub(1, {RELAXED})"""


def test_what_a_loop_leads_to_after_many_rounds_is_not_held_unseen(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    """The weak update comes after 200 attempts that failed, and no loop is walked that often."""
    variant = weak("dec_ref-falls-back", "REF-08 REF-09", body("dec_ref", FALLS_BACK))
    report = judged(variant, frame_module(), tmp_path, toolchain)
    assert {report.clauses[clause] for clause in variant.clauses} == {"not-evaluated"}
    [why] = {one.why for one in report.unjudged}
    assert "within its first rounds" in why


def test_a_stronger_ordering_is_a_note(tmp_path: Path, toolchain: Toolchain) -> None:
    variant = next(v for v in HARMLESS if v.name == "get_flags-seq_cst")
    report = judged(variant, frame_module(), tmp_path, toolchain)
    assert any("stronger" in note and "get_flags" in note for note in report.notes)


def test_a_weakened_accessor_gets_a_verdict(tmp_path: Path) -> None:
    """What is read in the code counts under clauses that one CPU can show, too."""
    variant = next(v for v in COMMON if v.name == "meta_aux-not-atomic")
    subject = tmp_path / "frame.rs"
    subject.write_text(variant.apply(frame_module().path.read_text(encoding="utf-8")), encoding="utf-8")
    [id_] = variant.clauses
    result = check(
        tmp_path, "--frame-rs", subject, "--machine", "microvm", "--profile", "release", "-n", "1",
        "-k", f"{id_} and compiled_code",
    )  # fmt: skip
    assert (result.status, result.kind, result.violated) == (ExitCode.FAIL, VerdictKind.FAIL, {id_}), (
        result.out
    )
    [finding] = result.report["findings"]
    trace = convert(finding["diagram"], OrderingTrace)
    assert [(one.cpu, one.at) for one in trace.events if one.weak] == [(1, finding["at"])]
