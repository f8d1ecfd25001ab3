"""The findings as a code quality report of GitLab: a list of issues in Code Climate's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from frame_harness.base.text import printable
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.verdict import Verdict
from frame_harness.report.issues import Severity, issues_of, relative

_SEVERITY: Final = {Severity.ERROR: "critical", Severity.KNOWN: "info", Severity.NO_PASS: "blocker"}


def dumps(evidence: Evidence, verdict: Verdict, root: Path) -> str:
    """One issue for each finding; without a line it is shown at the first."""
    found = [
        {
            "description": printable(f"{issue.rule}: {issue.title}: {issue.text.partition(chr(10))[0]}"),
            "check_name": issue.rule,
            "fingerprint": issue.fingerprint,
            "severity": _SEVERITY[issue.severity],
            "location": {
                "path": relative(issue.file, root) or issue.file,
                "lines": {"begin": issue.line or 1},
            },
        }
        for issue in issues_of(evidence, verdict)
    ]
    return json.dumps(found, indent=2) + "\n"
