"""Turns the faults of a campaign into results of checks: one a clause, one more for each further fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from frame_harness.base.units import paddr_to_pfn, pfn_to_paddr
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, Level, Outcome, PlannedCheck, RunKey
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.memory_core.design import Design
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.state import LeftOut
from frame_harness.memory_core.steps import CaseStep, CaseStorm, map_of, operations_of, written
from frame_harness.memory_core.tally import Found

NAME = "cases"


def check_of(clause: str, number: int = 1) -> str:
    """The name of a check: the clause, and which fault of it."""
    return f"{NAME}[{clause}]" if number == 1 else f"{NAME}[{clause}-{number}]"


def planned(run: RunKey, selected: Iterable[str] = CORE_CLAUSES) -> list[PlannedCheck]:
    """The checks that every run makes."""
    return [PlannedCheck(run=run, check=check_of(clause), clauses=(clause,)) for clause in selected]


def results_of(
    run: RunKey,
    found: Mapping[Key, Found],
    image: Image,
    design: Design,
    again: str,
    duration_s: float,
    lacks: Mapping[str, str],
    looked_at: Collection[str],
    unseen: Mapping[str, str],
) -> list[CheckResult]:
    """Results of every clause.

    Args:
        again: the command that plays a case again, before the case.
        duration_s: of the campaign, which is the time of all checks together.
        lacks: by clause why this version of the core cannot be judged by it.
        looked_at: the clauses that some case was judged by.
        unseen: by clause why it is not judged, whatever was looked at; all others are left out.
    """
    results: list[CheckResult] = []
    each_s = duration_s / len(CORE_CLAUSES)
    for clause in CORE_CLAUSES:
        faults = [one for key, one in found.items() if key[0] == clause]
        for number, fault in enumerate(faults, start=1):
            results.append(
                _violated(run, clause, number, fault, image, design, again, each_s if number == 1 else 0)
            )
        if faults:
            continue
        names: tuple[str, ...] = ()
        outcome, why = Outcome.PASSED, ""
        if clause in lacks:
            outcome, names = Outcome.ABSENT, (lacks[clause],)
        elif clause in unseen:
            outcome, why = Outcome.NOT_EVALUATED, unseen[clause]
        if outcome is not Outcome.PASSED or clause in looked_at:
            results.append(
                CheckResult(
                    check=check_of(clause),
                    clauses=(clause,),
                    run=run,
                    outcome=outcome,
                    duration_s=each_s,
                    message=why,
                    lacks=names,
                    level=Level.HISTORY,
                )
            )
    return results


def left_out(run: RunKey, unjudged: LeftOut) -> CheckResult:
    """A check that is skipped: the host has no room for it, or the core nothing that it could read."""
    return CheckResult(
        check=f"{NAME}[{unjudged.part}]", clauses=(unjudged.clause,), run=run, outcome=Outcome.SKIPPED,
        duration_s=0.0, message=unjudged.why, level=Level.HISTORY,
    )  # fmt: skip


def _violated(
    run: RunKey,
    clause: str,
    number: int,
    fault: Found,
    image: Image,
    design: Design,
    again: str,
    duration_s: float,
) -> CheckResult:
    failure, violation = fault.failure, fault.failure.violation
    operations = operations_of(failure.steps)
    place, case = failure.at or _line_of(failure.function, image, design), written(failure.steps)
    return CheckResult(
        check=check_of(clause, number), clauses=(clause,), run=run, outcome=Outcome.VIOLATED,
        duration_s=duration_s, message=violation.what, expected=violation.expected, got=violation.got,
        frame=None if violation.paddr is None else pfn_to_paddr(paddr_to_pfn(violation.paddr)),
        function=design.names_of(failure.function)[0], at=place,
        level=_level(operations),
        exhibit="\n".join(_exhibit(fault)), commands=failure.commands, backtrace=failure.backtrace,
        reproduce=f"{again} --case '{case}'", cause=violation.cause, case=case,
    )  # fmt: skip


def _level(operations: Sequence[CaseStep]) -> Level:
    if any(isinstance(one, CaseStorm) for one in operations):
        return Level.STORM
    return Level.SEQUENCE if operations else Level.CALL


def _exhibit(fault: Found) -> list[str]:
    steps = fault.failure.steps
    memory = map_of(steps)
    lines = ["map", *(f"  {line}" for line in memory.lines or ["no region"])]
    if behind := sorted({clause for clause, _ in fault.failure.behind}):
        lines.append(f"this case breaks {', '.join(behind)}, too")
    if fault.fresh is False:
        lines.append("a guest that has just booted does not show it: it depends on what memory held before")
    return lines


def _line_of(function: str, image: Image, design: Design) -> str:
    place = next(filter(None, map(image.function_line, design.names_of(function))), None)
    return f"{place[0]}:{place[1]}" if place else ""
