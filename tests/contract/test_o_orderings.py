"""The memory orderings that x86 hides, read in the code that the compiler made of the subject."""

from __future__ import annotations

import pytest

from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.orderings.table import ORDERING_CLAUSES
from frame_harness.guest.checks import ClauseViolated, NotEvaluated
from frame_harness.image.image import Image
from frame_harness.orderings.checker import check_orderings
from frame_harness.orderings.report import WHAT_TO_DO, OrderingReport, OrderingViolation, UnjudgedCode
from frame_harness.orderings.traces import trace_of

REPORTS: dict[tuple[str, str], OrderingReport] = {}


@pytest.fixture
def report(image: Image) -> OrderingReport:
    """What the compiled code says, read once for each subject and profile."""
    key = (image.subject.sha256, image.profile)
    if key not in REPORTS:
        REPORTS[key] = check_orderings(image.subject, image.profile, ORDERINGS)
    return REPORTS[key]


@pytest.mark.level("compiled")
@pytest.mark.one_machine
@pytest.mark.parametrize(
    "id_", [pytest.param(id_, marks=pytest.mark.clause(id_)) for id_ in ORDERING_CLAUSES]
)
def test_compiled_code_orders_memory_as_the_clause_says(report: OrderingReport, id_: str) -> None:
    broken = [violation for violation in report.violations if violation.clause == id_]
    if broken:
        raise violated(broken)
    unknown = [one for one in report.unjudged if one.clause == id_]
    if unknown:
        raise NotEvaluated(words(unknown[0]))
    if report.clauses[id_] != "held":
        raise NotEvaluated("no function that it speaks of is in the compiled code")


def words(unknown: UnjudgedCode) -> str:
    return f"{unknown.file}:{unknown.line}: {unknown.why}. {WHAT_TO_DO}"


def violated(broken: list[OrderingViolation]) -> ClauseViolated:
    first, trace = broken[0], trace_of(broken[0])
    return ClauseViolated(
        f"memory ordering in {trace.function}",
        expected=trace.expected,
        got=trace.got,
        field=first.field,
        function=trace.function,
        at=f"{first.file}:{first.line}",
        exhibit="\n".join([f"consequence: {trace.consequence}", *(f"also: {one}" for one in broken[1:])]),
        diagram=trace,
    )
