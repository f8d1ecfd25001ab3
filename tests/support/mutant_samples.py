"""Mutants, and what becomes of them, for tests that need no guest."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from frame_harness.coverage.lines import (
    Coverage,
    FunctionCoverage,
    LineCoverage,
    LineState,
    SourceCoverage,
)
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, SubjectInfo
from frame_harness.mutation.mutants import Mutant, Operator
from frame_harness.mutation_testing.records import Fate, How, JudgedMutant, Kill
from frame_harness.mutation_testing.reference import KnownResult, Reference

RUN = RunKey("microvm", "release")
DEV = RunKey("microvm", "dev")
TEXT = """fn inc(&self) {
    let old = self.count.fetch_add(1, Relaxed);
    assert!(old < MAX);
}

const MAX: u32 = 7;
"""
INC, DEC, ALL, ORDERS, BOOT = (
    "test_e.py::inc",
    "test_e.py::dec",
    "test_w.py::all",
    "test_o.py::orders",
    "boot",
)


def mutant(**changes: Any) -> Mutant:
    """One of the line with the atomic operation."""
    start = TEXT.index("fetch_add")
    made = Mutant(
        key="0123456789ab", operator=Operator.WRONG_FIELD, file="frame.rs", start=start, end=start + 9,
        line=2, column=26, function="inc", before="fetch_add", after="fetch_sub",
    )  # fmt: skip
    return replace(made, **changes)


def known(check: str, clause: str, run: RunKey = RUN, **changes: Any) -> KnownResult:
    """What a check says of the subject that held."""
    made = KnownResult(run=run, check=check, clauses=(clause,), outcome=Outcome.PASSED, duration_s=1.0)
    return replace(made, **changes)


def reference(**changes: Any) -> Reference:
    """A subject whose line 2 is run by two checks; one of these is about its function."""
    lines = (
        LineCoverage(line=2, state=LineState.HIT, checks=(0, 1, 2)),
        LineCoverage(line=3, state=LineState.HIT, checks=(0,)),
    )
    functions = (FunctionCoverage(name="inc", lines=(2, 3)),)
    source = SourceCoverage(path="/k/frame.rs", lines=lines, functions=functions, checks=(ALL, INC, BOOT))
    made = Reference(
        subject=SubjectInfo(name="frame.rs", path="/k/frame.rs", sha256="0" * 64),
        results=(known(ALL, "ALLOC-07"), known(INC, "REF-07"), known(DEC, "REF-06"), known(ORDERS, "REF-08")),
        reasons=(),
        about={INC: frozenset({"inc"}), DEC: frozenset({"dec"})},
        coverage=Coverage(sources=(source,)),
    )
    return replace(made, **changes)


def result(check: str, outcome: Outcome, *broken: str, **changes: Any) -> CheckResult:
    """What a check says of a mutant."""
    clauses = broken or ("REF-07",)
    made = CheckResult(check=check, clauses=clauses, run=RUN, outcome=outcome, duration_s=0.1, message="seen")
    return replace(made, **changes)


def judged(fate: Fate = Fate.SURVIVED, **changes: Any) -> JudgedMutant:
    """What became of the mutant."""
    kill = Kill(how=How.FINDING, run=RUN, check=INC, clauses=("REF-07",), message="count")
    made = JudgedMutant(
        key=mutant().key, fate=fate, kill=kill if fate is Fate.KILLED else None, checks=4, cpu_s=1.5
    )
    return replace(made, **changes)
