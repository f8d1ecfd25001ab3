"""What GitHub Actions shows of a run: annotations at lines of a pull request, a summary of the job.

The forms are those of GitHub's "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from frame_harness.base.text import plural, printable
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.findings import Finding
from frame_harness.judge.reason import ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.report.context import FindingContext
from frame_harness.report.issues import Issue, Severity, issues_of, relative
from frame_harness.report.terminal import verdict_line
from frame_harness.report.text import markdown_block, markdown_span, markdown_text

_COMMAND: Final = {Severity.ERROR: "error", Severity.KNOWN: "notice", Severity.NO_PASS: "error"}
_MOST_FINDINGS: Final = 50
_DATA: Final = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_PROPERTY: Final = (*_DATA, (":", "%3A"), (",", "%2C"))


def commands(evidence: Evidence, verdict: Verdict, root: Path) -> Iterator[str]:
    """A workflow command for each finding; a file outside of the repository is not named."""
    for issue in issues_of(evidence, verdict):
        yield _annotation(issue, root)


def _annotation(issue: Issue, root: Path) -> str:
    properties = {"title": f"{issue.rule}: {issue.title}"}
    if (file := relative(issue.file, root)) is not None:
        place = {"file": file} | ({"line": str(issue.line)} if issue.line is not None else {})
        properties = place | properties
    words = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in properties.items())
    return f"::{_COMMAND[issue.severity]} {words}::{_escaped(issue.text, _DATA)}"


def _escaped(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    for sign, code in pairs:
        text = text.replace(sign, code)
    return printable(text)


def summary(evidence: Evidence, verdict: Verdict, root: Path) -> str:
    """The verdict, then the findings with their lines, as Markdown."""
    context = FindingContext(evidence.subject)
    fresh = [one for one in verdict.findings if not one.known]
    known = [one for one in verdict.findings if one.known]
    lines = [f"## {markdown_text(verdict_line(evidence, verdict).plain)}", ""]
    for finding in fresh[:_MOST_FINDINGS]:
        lines += _section(finding, root, context)
    if left_out := fresh[_MOST_FINDINGS:]:
        lines += [f"… {plural(len(left_out), 'more finding')}: the other reports have all", ""]
    if known:
        lines += [
            "### Known findings",
            "",
            *(f"- {_name(one)}: {markdown_text(one.known)}" for one in known),
            "",
        ]
    against = [one for one in verdict.reasons if one.code is not ReasonCode.VIOLATION]
    if against:
        lines += ["### Against a pass", ""]
        lines += [*(f"- {one.kind}: {one.run or 'all'}: {markdown_text(one.message)}" for one in against), ""]
    return "\n".join(lines) + "\n"


def _section(finding: Finding, root: Path, context: FindingContext) -> Iterator[str]:
    result = finding.first
    yield from (f"### {_name(finding)}", "")
    if finding.explained_by:
        yield from (f"Explained by {finding.explained_by}.", "")
    facts = {
        "what": result.message,
        "expected": result.expected,
        "got": result.got,
        "frame": "" if result.frame is None else f"{result.frame:#x} {result.field}".strip(),
        "runs": finding.where,
    }
    yield from ("|  |  |", "|---|---|")
    yield from (f"| {name} | {markdown_text(value)} |" for name, value in facts.items() if value)
    yield ""
    if (place := result.place) is not None:
        file, number = place
        name = f", in {markdown_span(result.function)}" if result.function else ""
        yield from (f"{markdown_span(f'{relative(file, root) or file}:{number}')}{name}", "")
        lines = [f"{one.number:>5} {one.text}" for one in context.around(place)]
        yield from markdown_block(lines, "rust")
    yield from markdown_block([result.reproduce] if result.reproduce else [])


def _name(finding: Finding) -> str:
    return f"{finding.clause} {markdown_text(finding.title)}"
