"""The findings as SARIF 2.1.0, for code scanning.

The format is OASIS's "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from frame_harness.base.text import printable
from frame_harness.contract.clauses import Clause, Clauses
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.exit_codes import VerdictKind, exit_code
from frame_harness.judge.reason import ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.report.context import FindingContext
from frame_harness.report.issues import NO_PASS, Issue, Severity, issues_of, relative

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT: Final = "SRCROOT"
_FINGERPRINT: Final = "clauseAndFunction/v1"
_LEVEL: Final = {Severity.ERROR: "error", Severity.KNOWN: "note", Severity.NO_PASS: "error"}


def dumps(evidence: Evidence, verdict: Verdict, clauses: Clauses, root: Path, version: str) -> str:
    """One run with a rule for each clause and a result for each finding.

    Args:
        root: of the repository; paths below it are relative to it, since others mean nothing to a reviewer.
        version: of this program.
    """
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(evidence, verdict, clauses, root, version)]}
    return json.dumps(log, indent=2) + "\n"


def _run(
    evidence: Evidence, verdict: Verdict, clauses: Clauses, root: Path, version: str
) -> Mapping[str, Any]:
    context = FindingContext(evidence.subject)
    rules = [*map(_rule, clauses.values()), _RULE_OF_NO_PASS]
    index = {rule["id"]: place for place, rule in enumerate(rules)}
    issues = list(issues_of(evidence, verdict))
    return {
        "tool": {
            "driver": {
                "name": "frame-harness", "version": version, "semanticVersion": version, "rules": rules,
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"uri": f"{root.as_uri().rstrip('/')}/"}},
        "artifacts": [
            {"location": _artifact(file.path, root), "hashes": {"sha-256": file.sha256}}
            for file in evidence.subject.files
        ],
        "invocations": [
            {
                "executionSuccessful": verdict.kind in (VerdictKind.PASS, VerdictKind.FAIL),
                "exitCode": int(exit_code(verdict.kind)),
                "exitCodeDescription": str(verdict.kind),
                "toolExecutionNotifications": _notifications(verdict),
            }
        ],
        "results": [_result(issue, index[issue.rule], root, context) for issue in issues],
    }  # fmt: skip


def _rule(clause: Clause) -> dict[str, Any]:
    return {
        "id": clause.id,
        "shortDescription": {"text": clause.title},
        "fullDescription": {"text": clause.title},
        "help": {"text": f"{clause.id}: {clause.title}. `frame-harness clauses` lists all clauses."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"kind": clause.kind, "tags": ["hazard"] if clause.hazard else []},
    }


_RULE_OF_NO_PASS: Final[dict[str, Any]] = {
    "id": NO_PASS,
    "shortDescription": {"text": "the run is no PASS"},
    "fullDescription": {"text": "No finding says why the run is no PASS: that none is listed says nothing."},
    "help": {"text": "Read the log of the run, and `frame-harness exit-codes`."},
    "defaultConfiguration": {"level": "error"},
}


def _result(issue: Issue, rule: int, root: Path, context: FindingContext) -> Mapping[str, Any]:
    result: dict[str, Any] = {
        "ruleId": issue.rule,
        "ruleIndex": rule,
        "kind": "fail",
        "level": _LEVEL[issue.severity],
        "message": {"text": printable(f"{issue.title}\n{issue.text}")},
        "locations": [{"physicalLocation": _location(issue, root, context)}],
        "partialFingerprints": {_FINGERPRINT: issue.fingerprint},
        "baselineState": "unchanged" if issue.severity is Severity.KNOWN else "new",
    }
    if (finding := issue.finding) is not None:
        result["locations"][0] |= _function(finding.first.function)
        checks = dict.fromkeys(one.check for one in finding.results)
        result["properties"] = {
            "runs": list(map(str, finding.runs)), "checks": list(checks), "explainedBy": finding.explained_by,
        }  # fmt: skip
        if finding.known:
            result["suppressions"] = [{"kind": "external", "justification": printable(finding.known)}]
    return result


def _location(issue: Issue, root: Path, context: FindingContext) -> Mapping[str, Any]:
    location: dict[str, Any] = {"artifactLocation": _artifact(issue.file, root)}
    if issue.line is not None:
        location["region"] = _region(issue.line, context.lines(issue.file))
    return location


def _region(number: int, known: Sequence[str]) -> Mapping[str, Any]:
    """The line of a finding; its columns and its text where the text is still the one that was judged."""
    if not 1 <= number <= len(known):
        return {"startLine": number}
    text = known[number - 1]
    begin = len(text) - len(text.lstrip())
    return {
        "startLine": number,
        "startColumn": begin + 1,
        "endLine": number,
        "endColumn": len(text.rstrip()) + 1 if text.strip() else begin + 1,
        "snippet": {"text": printable(text)},
    }


def _artifact(file: str, root: Path) -> Mapping[str, Any]:
    below = relative(file, root)
    if below is None:
        return {"uri": Path(file).as_uri()} if Path(file).is_absolute() else {"uri": quote(file)}
    return {"uri": quote(below), "uriBaseId": _ROOT}


def _function(name: str) -> Mapping[str, Any]:
    return {"logicalLocations": [{"fullyQualifiedName": name, "kind": "function"}]} if name else {}


def _notifications(verdict: Verdict) -> list[Mapping[str, Any]]:
    """What stands against a PASS and is no finding."""
    return [
        {"level": "error", "message": {"text": printable(f"{one.kind}: {one.run or 'all'}: {one.message}")}}
        for one in verdict.reasons
        if one.code is not ReasonCode.VIOLATION
    ]
