"""Findings as texts that can be sent to the people who maintain a kernel, a file each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from frame_harness.judge.evidence import Evidence, RunEvidence
from frame_harness.judge.findings import FaultKey, Finding
from frame_harness.judge.verdict import Verdict
from frame_harness.report.origins import origin_words
from frame_harness.report.text import markdown_block, markdown_span, markdown_text


def texts(evidence: Evidence, verdict: Verdict, root: Path, version: str) -> Mapping[str, str]:
    """By file name the Markdown text of each finding that the baseline does not know.

    Args:
        root: of the kernel; paths below it are shown relative to it.
        version: of the kernel, such as a commit; empty where nobody knows it.
    """
    fresh = [one for one in verdict.findings if not one.known]
    names: dict[FaultKey, str] = {}
    for one in fresh:
        count = sum(clause == one.clause for clause, _ in names)
        names[one.fault] = one.clause if not count else f"{one.clause}-{count + 1}"
    found: dict[str, str] = {}
    for one in fresh:
        cause = names[one.root] if one.root else ""
        found[f"{names[one.fault]}.md"] = _text(one, cause, evidence, f"{root}/", version)
    return found


def is_of(clause: str, text: str) -> bool:
    """Tell whether a text was written here about a clause."""
    lines = text.splitlines()
    return len(lines) > 2 and lines[0].startswith("# ") and lines[2].startswith(_promise(clause))


def _promise(clause: str) -> str:
    return f"Broken promise ({clause}): "


def _text(finding: Finding, cause: str, evidence: Evidence, root: str, version: str) -> str:
    result = finding.first

    def own(words: str) -> str:
        return words.replace(root, "")

    title = markdown_text(own(_title(finding)))
    lines = [f"# {title}", "", f"{_promise(finding.clause)}{markdown_text(finding.title)}.", ""]
    facts = {"Expected": result.expected, "Got": result.got, "Explained by": cause}
    lines += [f"- {name}: {markdown_text(own(value))}" for name, value in facts.items() if value]
    if result.frame is not None:
        lines.append(f"- Physical address: `{result.frame:#x}`")
    if result.at:
        name = f", in {markdown_span(result.function)}" if result.function else ""
        lines.append(f"- Code: {markdown_span(own(result.at))}{name}")
    if finding.origin is not None:
        lines.append(f"- History: {markdown_text(origin_words(finding.origin))}")
    lines += ["", *_block("Memory map and case", own(result.exhibit).splitlines())]
    lines += _block("Commands to the kernel, with its replies", result.commands)
    lines += _block("Backtrace", list(map(own, result.backtrace)))
    lines += ["## Seen with", "", f"- Kernel: {markdown_text(version or evidence.subject.sha256[:12])}"]
    lines += [f"- {markdown_text(line)}" for line in _tools(finding, evidence)]
    lines += ["", *_block("See it again", [result.reproduce])]
    return "\n".join(lines)


def _title(finding: Finding) -> str:
    words, got = finding.first.message or finding.title, finding.first.got
    first, _, _ = words.partition(" ")
    if first.isalpha():  # and no name of a function
        words = words[:1].upper() + words[1:]
    return f"{words}: {got}" if got and len(words) + len(got) < 100 else words


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    if any(lines):
        yield from (f"## {title}", "", *markdown_block(lines))


def _tools(finding: Finding, evidence: Evidence) -> list[str]:
    """The builds that show it, and what they were made and run with."""
    runs = [run for run in evidence.runs if run.run in finding.runs]
    builds = ", ".join(dict.fromkeys(run.run.profile for run in runs))
    return [f"Builds: {builds}", *dict.fromkeys(map(_tool, runs))]


def _tool(run: RunEvidence) -> str:
    compiler = run.toolchain.partition(",")[0]
    return f"QEMU {run.qemu_version} ({run.accelerator}), {compiler}"
