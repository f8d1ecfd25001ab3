"""The tables of the page: facts, clauses by section, what stands against a PASS."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.base.text import plural
from frame_harness.contract.clauses import Clause, ClauseKind
from frame_harness.contract.contract import Contract
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.judgement import ClauseJudgement, ClauseOutcome
from frame_harness.judge.reason import BROKEN_OFF, CODE_OF_BROKEN_OFF, ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.report.causes import BrokenOffCause, causes_of
from frame_harness.report.summary import against, time_in_all, tools
from frame_harness.report.text import matrix

KIND_WORDS = {
    ClauseKind.LAYOUT: "layout",
    ClauseKind.FUNCTIONAL: "functional",
    ClauseKind.PANIC: "panic",
    ClauseKind.PARALLEL: "several CPUs",
    ClauseKind.ORDERING: "memory ordering",
    ClauseKind.WHOLE_MEMORY: "whole memory",
    ClauseKind.HAZARD: "hazard",
}
SIGNS = {
    ClauseOutcome.HELD: "✓",
    ClauseOutcome.VIOLATED: "✗",
    ClauseOutcome.KNOWN: "◐",
    ClauseOutcome.NOT_EVALUATED: "–",
}


# Reasons that have a place of their own on the page.
_SHOWN_ELSEWHERE = {ReasonCode.VIOLATION, *CODE_OF_BROKEN_OFF.values()}


@dataclass(frozen=True)
class ClauseRow:
    """One clause, what became of it; `words` say which evidence settles it."""

    clause: Clause
    judgement: ClauseJudgement
    sign: str
    words: str
    broken: bool


@dataclass(frozen=True)
class ClauseSection:
    """Clauses that the contract puts together."""

    title: str
    rows: tuple[ClauseRow, ...]

    @property
    def broken(self) -> int:
        """How many of its clauses are broken."""
        return sum(row.broken for row in self.rows)


def summary(evidence: Evidence, verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """What the page says below its title: label and words."""
    counts = ", ".join(
        f"{verdict.count(outcome)} {word}"
        for outcome, word in (
            (ClauseOutcome.HELD, "held"), (ClauseOutcome.VIOLATED, "broken"), (ClauseOutcome.KNOWN, "known"),
            (ClauseOutcome.NOT_EVALUATED, "not evaluated"),
        )
        if verdict.count(outcome)
    )  # fmt: skip
    rows = (
        ("clauses", counts),
        ("checks", plural(len({result.check for result in evidence.checks}), "check")),
        ("runs", matrix(run.run for run in evidence.runs)),
        ("only", evidence.selection),
        ("with", tools(evidence)),
        ("time", time_in_all(evidence)),
        ("sha256", evidence.subject.sha256),
    )
    return tuple((label, words) for label, words in rows if words)


def sections(contract: Contract, verdict: Verdict) -> tuple[ClauseSection, ...]:
    """The contract's clauses with what became of each, by section."""
    found = []
    for letter, title in contract.clauses.sections.items():
        rows = [
            _clause_row(clause, verdict.clauses[id_])
            for id_, clause in contract.clauses.items()
            if clause.section == letter and id_ in verdict.clauses
        ]
        if rows:
            found.append(ClauseSection(title, tuple(rows)))
    return tuple(found)


def _clause_row(clause: Clause, judgement: ClauseJudgement) -> ClauseRow:
    words = ", ".join(KIND_WORDS[kind] for kind in sorted(clause.kinds))
    return ClauseRow(
        clause, judgement, SIGNS[judgement.outcome], words, judgement.outcome is ClauseOutcome.VIOLATED
    )


def stopped(evidence: Evidence) -> tuple[BrokenOffCause, ...]:
    """Checks that came to no end, those together that ended in the same way."""
    broken_off = [result for result in evidence.checks if result.outcome in BROKEN_OFF]
    return tuple(causes_of(broken_off, evidence.errors))


def details(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """What is known of troubles at length, each once, such as of two machines that lack one build."""
    return tuple(dict.fromkeys((one.what, one.detail) for one in evidence.errors if one.detail))


def reasons(verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    """What stands against a PASS beside findings and checks that came to no end: kind, words, runs."""
    return tuple(
        (str(one.kind), one.words, ", ".join(map(str, one.runs)))
        for one in against(verdict.reasons, _SHOWN_ELSEWHERE)
    )
