"""Evidence of healthy and of sick runs, for the tests of judge and report."""

from typing import Any

from msgspec.structs import replace

from frame_harness.base.guest_end import GuestEnd
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.evidence import (
    CheckResult,
    DumpEvidence,
    Evidence,
    GuestExits,
    LayoutEvidence,
    Outcome,
    PlannedCheck,
    RunEvidence,
    RunKey,
    SelftestEvidence,
    SubjectInfo,
    Witness,
)

SUBJECT = SubjectInfo(name="frame.rs", path="/home/u/kernel/src/memory/frame.rs", sha256="1f" * 32)
DEV = RunKey("q35", "dev")
RELEASE = RunKey("microvm", "release")
CHECKS = {
    "test_d_allocation.py::test_table_frame_is_zero_in_either_order": ("ALLOC-07",),
    "test_d_allocation.py::test_new_life_is_whole": ("ALLOC-09", "ALLOC-02"),
    "test_g_guard.py::test_misaligned_vtable_falls_back": ("VT-03",),
    "test_i_frames.py::test_last_frame_ends_the_range": ("FRAME-03",),
}
TABLE, LIFE, VTABLE, RANGE = CHECKS
CLAUSES_LOOKED_AT = tuple(id_ for ids in CHECKS.values() for id_ in ids)


def passed(check: str, run: RunKey) -> CheckResult:
    return CheckResult(check=check, clauses=CHECKS[check], run=run, outcome=Outcome.PASSED, duration_s=0.02)


def healthy_run(key: RunKey) -> RunEvidence:
    return RunEvidence(
        run=key,
        accelerator="tcg",
        qemu_version="7.2.22",
        image_sha256="a0" * 32,
        build_id="c3" * 20,
        subject_sha256=SUBJECT.sha256,
        toolchain="rustc 1.95.0",
        guests_booted=3,
        exits=(GuestExits(got=GuestEnd.PASS, count=3),),
        layout=LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.EQUAL),
        dumps=DumpEvidence(requested=2, whole=2),
        selftest=SelftestEvidence(plan=9, passed=9, failed=0),
        invariants=dict.fromkeys(FRAME_METADATA.invariants, 32000),
        duration_s=2.5,
    )


def healthy() -> Evidence:
    keys = (DEV, RELEASE)
    return Evidence(
        subject=SUBJECT,
        planned_runs=keys,
        plan=tuple(
            PlannedCheck(run=key, check=check, clauses=ids) for key in keys for check, ids in CHECKS.items()
        ),
        runs=tuple(map(healthy_run, keys)),
        checks=tuple(passed(check, key) for key in keys for check in CHECKS),
        duration_s=5.0,
    )


def with_outcome(evidence: Evidence, check: str, outcome: Outcome, *keys: RunKey, **fields: Any) -> Evidence:
    """Change what became of one check, in the given runs or else in all."""
    checks = tuple(
        replace(result, outcome=outcome, **fields)
        if result.check == check and (not keys or result.run in keys)
        else result
        for result in evidence.checks
    )
    return replace(evidence, checks=checks)


def with_run(evidence: Evidence, key: RunKey, **fields: Any) -> Evidence:
    runs = tuple(replace(run, **fields) if run.run == key else run for run in evidence.runs)
    return replace(evidence, runs=runs)
