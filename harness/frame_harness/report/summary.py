"""What reports for a person count and put together, as values that each of them only draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from frame_harness.base.text import plural, seconds
from frame_harness.judge.evidence import Evidence, Outcome, RunEvidence, RunKey
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.findings import Finding
from frame_harness.judge.judgement import ClauseJudgement, ClauseOutcome
from frame_harness.judge.reason import BROKEN_OFF, Reason, ReasonCode
from frame_harness.judge.verdict import Verdict, how_it_ended
from frame_harness.report.text import id_ranges

LEAST_BUILD_S = 0.1
ABSENT = "not in this version"


@dataclass(frozen=True)
class RunRow:
    """One run, its checks counted by how they ended."""

    run: RunEvidence
    checks: int
    passed: int
    broken: int
    skipped: int
    stopped: int
    guest_time: str


@dataclass(frozen=True)
class Against:
    """What stands against a PASS; `runs` in which it does, each once, none where it is said of all."""

    kind: VerdictKind
    words: str
    runs: tuple[RunKey, ...]


def run_rows(evidence: Evidence) -> tuple[RunRow, ...]:
    """A row for each run."""
    return tuple(_run_row(run, evidence) for run in evidence.runs)


def _run_row(run: RunEvidence, evidence: Evidence) -> RunRow:
    results = [result for result in evidence.checks if result.run == run.run]
    counts = Counter(result.outcome for result in results)
    return RunRow(
        run=run,
        checks=sum(one.run == run.run for one in evidence.plan),
        passed=counts[Outcome.PASSED],
        broken=counts[Outcome.VIOLATED],
        skipped=counts[Outcome.SKIPPED] + counts[Outcome.ABSENT],
        stopped=sum(counts[outcome] for outcome in (*BROKEN_OFF, Outcome.NOT_EVALUATED)),
        guest_time=seconds(sum(result.duration_s for result in results)),
    )


def findings_in_words(fresh: Sequence[Finding]) -> tuple[str, str]:
    """How many findings there are, and how many more that only come of them."""
    roots = sum(one.root is None for one in fresh)
    words = "what this subject breaks"
    if roots < len(fresh):
        words += f"; {plural(len(fresh) - roots, 'consequence')}, each below its cause"
    return plural(roots, "finding"), words


def tools(evidence: Evidence) -> str:
    """QEMU, accelerator and toolchain of the runs, each of several once."""
    found = {(run.qemu_version, run.accelerator, run.toolchain) for run in evidence.runs}
    # A run without a version of QEMU is one whose guests never came up.
    known = {tool for tool in found if tool[0]} or found
    return "; ".join(_tool(*tool) for tool in sorted(known))


def _tool(qemu: str, accel: str, toolchain: str) -> str:
    return f"QEMU {qemu} ({accel}), {toolchain}" if qemu else toolchain


def time_in_all(evidence: Evidence) -> str:
    """`12.3 s in all, 4.1 s of it for the build`, without a build that took none."""
    words = f"{seconds(evidence.duration_s)} in all"
    if evidence.build_s >= LEAST_BUILD_S:
        words += f", {seconds(evidence.build_s)} of it for the build"
    return words


def skipped(evidence: Evidence) -> tuple[tuple[str, int], ...]:
    """Why checks were skipped, and how many, the most frequent reason first.

    Those about what this version of the module lacks are not among them: their names are told on their own.
    """
    reasons = (result.message for result in evidence.checks if result.outcome is Outcome.SKIPPED)
    return tuple(Counter(reasons).most_common())


def unjudged(verdict: Verdict) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Why clauses were not evaluated, each reason with its clauses, that of the most first."""
    found: dict[str, list[str]] = {}
    for id_, clause in verdict.clauses.items():
        if clause.outcome is ClauseOutcome.NOT_EVALUATED:
            found.setdefault(_why_not(clause), []).append(id_)
    return tuple(sorted(((why, tuple(ids)) for why, ids in found.items()), key=lambda one: -len(one[1])))


def _why_not(clause: ClauseJudgement) -> str:
    """What clauses have in common that were not evaluated for the same reason."""
    if clause.lacks:
        return ABSENT
    if clause.ended is Outcome.NOT_EVALUATED:
        return clause.cause
    if clause.ended in (None, Outcome.SKIPPED, Outcome.ABSENT):
        return clause.message
    return how_it_ended(clause.ended, clause.met)  # each check that broke off says other words


def against(reasons: Sequence[Reason], told_elsewhere: Collection[ReasonCode]) -> tuple[Against, ...]:
    """What stands against a PASS, the same words of several runs or clauses once.

    Args:
        told_elsewhere: codes of reasons that have a place of their own in the report.
    """
    found: dict[tuple[VerdictKind, str], tuple[dict[RunKey, None], dict[str, None]]] = {}
    for reason in reasons:
        if reason.code in told_elsewhere:
            continue
        runs, clauses = found.setdefault((reason.kind, reason.message.removeprefix(reason.clause)), ({}, {}))
        runs |= {reason.run: None} if reason.run else {}
        clauses |= {reason.clause: None} if reason.clause else {}
    return tuple(
        Against(kind, id_ranges(tuple(clauses)) + words, tuple(runs))
        for (kind, words), (runs, clauses) in found.items()
    )
