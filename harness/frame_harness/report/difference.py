"""What changed from one verdict to the next, for a person who waits for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from frame_harness.base.text import plural
from frame_harness.contract.layout import StructLayout
from frame_harness.judge.difference import Difference
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.findings import FaultKey, Finding
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.verdict import Verdict, what_was_seen
from frame_harness.report.blocks import LABEL, clause_line, finding_block
from frame_harness.report.context import FindingContext
from frame_harness.report.terminal import against_a_pass, is_one_line, print_parts, verdict_line
from frame_harness.report.text import id_ranges, one_line

_SO_FAR = " so far"
_BECAME = {ClauseOutcome.VIOLATED: "broken in another way", ClauseOutcome.KNOWN: "known to the baseline"}


def print_so_far(
    seen: Difference, evidence: Evidence, console: Console, slot: StructLayout | None = None
) -> None:
    """Print what the first checks show, before the others are made; `slot` as in `print_report`."""
    context = FindingContext(evidence.subject, slot)
    made = {(one.run, one.check) for one in evidence.checks}
    # Whoever met a fault on the way, or before the first check, was not asked again; a case was.
    held = [
        one
        for one in seen.held
        if all(result.case or (result.run, result.check) in made for result in one.results)
    ]
    parts = [*_broken(seen.broken, (), _SO_FAR, context), *_held(held, _SO_FAR)]
    if seen.stopped:
        parts.append(_title(f"{plural(len(seen.stopped), 'check')} came to no end{_SO_FAR}", "bold red"))
    if parts:
        parts.append(Text(f"after the first {plural(len(made), 'check')}; the others follow", style=LABEL))
    print_parts(parts, console)


def print_difference(
    seen: Difference,
    shown: Collection[FaultKey],
    evidence: Evidence,
    verdict: Verdict,
    console: Console,
    slot: StructLayout | None = None,
) -> None:
    """Print what is newly broken and what holds now; the verdict of everything as the last line.

    Args:
        shown: faults whose findings were printed whole already: a line is enough for each.
        slot: as in `print_report`.
    """
    context = FindingContext(evidence.subject, slot)
    parts = [*_broken(seen.broken, shown, "", context), *_held(seen.held, "")]
    if seen.gone:
        lines = (
            _line(one, f"{one.title}: {what_was_seen(one.first)}: not seen any more; {_BECAME[became]}")
            for one, became in seen.gone
        )
        parts.append(Group(_title(f"changed ({len(seen.gone)})", "bold yellow"), *lines))
    if not is_one_line(evidence, verdict):
        parts += against_a_pass(seen.stopped, evidence, verdict, context)
    parts += _names("still broken", seen.still)
    parts += _names("broken before, not judged this time", seen.unjudged)
    print_parts(parts, console)
    console.print(verdict_line(evidence, verdict), crop=False, soft_wrap=True)


def shown_whole(findings: Sequence[Finding], shown: Collection[FaultKey] = ()) -> set[FaultKey]:
    """The faults that are printed with all that was seen of them: no line says enough of them."""
    there = {one.fault for one in findings}
    return {one.fault for one in findings if one.root not in there and one.fault not in shown}


def _broken(
    findings: Sequence[Finding], shown: Collection[FaultKey], so_far: str, context: FindingContext
) -> Iterable[RenderableType]:
    if not findings:
        return []
    blocks: list[RenderableType] = []
    whole = shown_whole(findings, shown)
    for one in findings:
        if one.root in whole:
            continue  # listed below its cause
        if one.fault in whole:
            blocks.append(
                finding_block(one, [other for other in findings if other.root == one.fault], context)
            )
        else:
            known = "shown above" if one.fault in shown else f"explained by {one.explained_by}"
            blocks.append(_line(one, f"{one.title} ({known})"))
    return [Group(_title(f"newly broken{so_far} ({len(findings)})", "bold red"), *blocks)]


def _held(findings: Sequence[Finding], so_far: str) -> Iterable[RenderableType]:
    if not findings:
        return []
    lines = (_line(one, one.title, style="bold green") for one in findings)
    return [Group(_title(f"newly held{so_far} ({len(findings)})", "bold green"), *lines)]


def _names(words: str, findings: Sequence[Finding]) -> Iterable[RenderableType]:
    if not findings:
        return []
    ids = id_ranges(list(dict.fromkeys(one.clause for one in findings)))
    return [Text.assemble((f"{words} ({len(findings)})", "bold"), f"  {ids}")]


def _line(finding: Finding, words: str, style: str = "bold red") -> RenderableType:
    return clause_line(Text(finding.clause, style=style), Text(one_line(words)), finding.where)


def _title(words: str, style: str) -> Text:
    return Text(words, style=style)
