"""The run as one JSON document, for programs."""

import json
from typing import Any

from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import Evidence, plain
from frame_harness.judge.findings import Finding
from frame_harness.judge.judgement import ClauseJudgement
from frame_harness.judge.verdict import Verdict

SCHEMA = 2
_OF_A_CLAUSE = ("outcome", "checks", "message", "lacks")  # the message says the rest


def document(evidence: Evidence, verdict: Verdict, baseline: Baseline) -> dict[str, Any]:
    """Everything the terminal report says and all it leaves out.

    Fields may be added; one that goes, or changes its meaning, raises `schema`.
    """
    return {
        "schema": SCHEMA,
        "verdict": str(verdict.kind),
        "subject": plain(evidence.subject),
        "clauses": {id_: _clause(judgement) for id_, judgement in verdict.clauses.items()},
        "runs": [
            {
                **plain(run),
                "checks": [
                    {key: value for key, value in plain(result).items() if key != "run"}
                    for result in evidence.checks
                    if result.run == run.run
                ],
            }
            for run in evidence.runs
        ],
        "reasons": [plain(reason) for reason in verdict.reasons],
        "errors": [plain(trouble) for trouble in evidence.errors],
        "findings": list(map(_finding, verdict.findings)),
        "baseline": {
            "source": baseline.source,
            "known": [plain(entry) for entry in verdict.known],
            "stale": [plain(entry) for entry in verdict.stale],
        },
        "unpromised": list(verdict.unpromised),
        "coverage": plain(evidence.coverage) if evidence.coverage else None,
        "lacks": list(evidence.lacks),
        "selection": evidence.selection,
        "duration_s": evidence.duration_s,
        "build_s": evidence.build_s,
        "steps_s": evidence.steps_s,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "clause": finding.clause,
        "title": finding.title,
        "where": finding.where,
        "known": finding.known or None,
        "explained_by": finding.explained_by or None,
        "explained_by_cause": (finding.root[1] or None) if finding.root else None,
        "cause": finding.cause or None,
        "level": str(finding.first.level),
        "function": finding.first.function or None,
        "at": finding.first.at or None,
        "what": finding.first.message or None,
        "expected": finding.first.expected or None,
        "got": finding.first.got or None,
        "frame": finding.first.frame,
        "field": finding.first.field or None,
        "reproduce": finding.first.reproduce or None,
        "diagram": plain(finding.first.diagram) if finding.first.diagram else None,
        "origin": plain(finding.origin) if finding.origin else None,
        "runs": [str(run) for run in finding.runs],
        "checks": list(dict.fromkeys(result.check for result in finding.results)),
    }


def _clause(judgement: ClauseJudgement) -> dict[str, object]:
    return {key: value for key, value in plain(judgement).items() if key in _OF_A_CLAUSE}


def dumps(evidence: Evidence, verdict: Verdict, baseline: Baseline) -> str:
    """The document as ASCII text, one newline at its end."""
    return json.dumps(document(evidence, verdict, baseline), indent=2) + "\n"
