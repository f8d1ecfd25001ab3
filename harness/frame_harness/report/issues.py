"""Findings as the places and words that CI systems show to reviewers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from frame_harness.judge.evidence import Evidence
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.findings import Finding
from frame_harness.judge.verdict import Verdict
from frame_harness.report.origins import origin_words

NO_PASS = "no-pass"
"""The id of the issue of a run that is no PASS for another reason than a finding.

A report without issues would look like a PASS.
"""


class Severity(StrEnum):
    """How an issue counts: a new finding, one that the baseline knows, a run that is no PASS."""

    ERROR = "error"
    KNOWN = "known"
    NO_PASS = "no-pass"


@dataclass(frozen=True)
class Issue:
    """One thing to show.

    Attributes:
        rule: id of a clause, or `NO_PASS`.
        file: absolute path; of the subject where no line is known.
        line: from 1 on; None where none is known.
        fingerprint: in hex; stays when lines move.
        finding: None of an issue that is no finding.
    """

    rule: str
    severity: Severity
    title: str
    text: str
    file: str
    line: int | None
    fingerprint: str
    finding: Finding | None = None


def issues_of(evidence: Evidence, verdict: Verdict) -> Iterator[Issue]:
    """Every finding, known ones, too; then, where these do not say why the run is no PASS, what does."""
    subject = evidence.subject
    for finding in verdict.findings:
        file, line = finding.first.place or (subject.path, None)
        yield Issue(
            finding.clause,
            Severity.KNOWN if finding.known else Severity.ERROR,
            finding.title,
            _words(finding),
            file,
            line,
            _fingerprint(finding.clause, finding.cause, finding.first.function, Path(file).name),
            finding,
        )
    told = verdict.kind is VerdictKind.FAIL and not all(finding.known for finding in verdict.findings)
    if verdict.kind is not VerdictKind.PASS and not told:
        why = verdict.reasons[0].message if verdict.reasons else "nothing ran"
        title = f"{verdict.kind}: this is no PASS"
        yield Issue(NO_PASS, Severity.NO_PASS, title, why, subject.path, None, _fingerprint(NO_PASS))


def relative(file: str, root: Path) -> str | None:
    """A path below the repository's root, with slashes; None outside of it."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_absolute() and path.is_relative_to(root) else None


def _words(finding: Finding) -> str:
    """What was seen, one fact a line."""
    result = finding.first
    frame = "" if result.frame is None else f"{result.frame:#x}"
    facts = {
        "expected": result.expected,
        "got": result.got,
        "frame": f"{frame}, {result.field}".strip(", "),
        "in": result.function,
        "runs": finding.where,
        "known": finding.known,
        "explained by": finding.explained_by,
        "history": origin_words(finding.origin) if finding.origin else "",
        "see it again": result.reproduce,
    }
    said = [result.message] if result.message else []
    return "\n".join([*said, *(f"{name}: {value}" for name, value in facts.items() if value)])


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
