"""The report that a person reads at the end of a run."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from frame_harness.base.program import program
from frame_harness.base.text import plural, printable, seconds
from frame_harness.contract.layout import StructLayout
from frame_harness.coverage import words
from frame_harness.coverage.lines import Coverage, SourceCoverage
from frame_harness.judge.baseline import Baseline, BaselineEntry
from frame_harness.judge.evidence import (
    CheckInRun,
    CheckResult,
    Evidence,
    RunKey,
    Trouble,
)
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.findings import Finding
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.reason import BROKEN_OFF, CODE_OF_BROKEN_OFF, Reason, ReasonCode
from frame_harness.judge.verdict import Verdict
from frame_harness.report.blocks import (
    LABEL,
    broken_off_block,
    clause_line,
    finding_block,
    headline,
    verbatim,
)
from frame_harness.report.causes import causes_of, shared
from frame_harness.report.context import FindingContext
from frame_harness.report.summary import (
    against,
    findings_in_words,
    run_rows,
    skipped,
    time_in_all,
    tools,
    unjudged,
)
from frame_harness.report.text import PIPE_WIDTH, ByWidth, id_ranges, matrix

WIDEST = 110
_SHA_SHOWN = 12
_KIND_STYLE = {
    VerdictKind.PASS: "bold green",
    VerdictKind.SKIP: "bold yellow",
    VerdictKind.NO_TESTS: "bold yellow",
    VerdictKind.UNJUDGEABLE: "bold yellow",
    VerdictKind.FAIL: "bold red",
    VerdictKind.TIMEOUT: "bold red",
    VerdictKind.CRASH: "bold red",
    VerdictKind.ERROR: "bold magenta",
    VerdictKind.INTERRUPTED: "bold yellow",
}
# Tables fill their columns; a line that is copied should end where its words end.
_TRAILING_BLANKS = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
# Reasons that have a place of their own in the report.
_SHOWN_ELSEWHERE = {ReasonCode.TROUBLE, ReasonCode.VIOLATION, *CODE_OF_BROKEN_OFF.values()}


def console_for(file: IO[str] | None = None) -> Console:
    """A console that has color only on a terminal and reads nothing into the text it is given.

    A terminal that cannot show a sign gets its escape instead: no verdict is lost to an encoding. What is no
    terminal gets one record a line, however long.
    """
    stream = sys.stdout if file is None else file
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDEST) if console.is_terminal else PIPE_WIDTH
    return console


def print_report(
    evidence: Evidence,
    verdict: Verdict,
    baseline: Baseline,
    console: Console,
    slot: StructLayout | None = None,
    *,
    explained: bool = False,
    copies: Mapping[str, Path] | None = None,
    kept: Mapping[CheckInRun, Path] | None = None,
) -> None:
    """Print everything there is to know, the verdict as the very last line.

    Args:
        slot: how the bytes of a slot lie; without it none are shown.
        explained: whether `explain` knows the clauses.
        copies: of the files that were judged, by their path; no other one is read. None
            reads the files themselves.
        kept: the folders with what guests of checks left.
    """
    context = FindingContext(evidence.subject, slot, copies, kept or {})
    print_parts(
        [] if is_one_line(evidence, verdict) else _parts(evidence, verdict, baseline, context, explained),
        console,
    )
    console.print(verdict_line(evidence, verdict), crop=False, soft_wrap=True)


def is_one_line(evidence: Evidence, verdict: Verdict) -> bool:
    """Whether the verdict's line says all that there is."""
    return verdict.kind is VerdictKind.UNJUDGEABLE and not evidence.runs


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print parts of a report, an empty line behind each."""
    with console.capture() as capture:
        for part in parts:
            console.print(part, crop=False)
            console.print()
    console.file.write(_TRAILING_BLANKS.sub(r"\1", capture.get()))
    console.file.flush()


def _parts(
    evidence: Evidence, verdict: Verdict, baseline: Baseline, context: FindingContext, explained: bool
) -> list[RenderableType]:
    found = verdict.findings
    fresh = [finding for finding in found if not finding.known]
    parts = [_header(evidence)]
    if evidence.runs:
        parts.append(_runs(evidence))
    if fresh:
        roots = [finding for finding in fresh if finding.root is None]
        parts.append(_title(*findings_in_words(fresh)))
        parts += [
            finding_block(root, [one for one in fresh if one.root == root.fault], context) for root in roots
        ]
        if explained:
            parts.append(verbatim(f"explain: {program()} explain {roots[0].clause}"))
    parts += _broken_off(evidence.checks, evidence, context)
    parts += _layouts(evidence)
    parts += _known([finding for finding in found if finding.known], baseline)
    parts += _stale(verdict.stale, baseline)
    parts += _not_evaluated(verdict)
    parts += _unpromised(verdict)
    parts += _skipped(evidence)
    parts += _lacking(evidence)
    parts += coverage_parts(evidence.coverage)
    parts += _reasons(verdict.reasons, evidence)
    return parts


def against_a_pass(
    results: Iterable[CheckResult], evidence: Evidence, verdict: Verdict, context: FindingContext
) -> list[RenderableType]:
    """What stands against a PASS beside findings.

    Args:
        results: those that are to be told where they broke off.
    """
    return [*_broken_off(results, evidence, context), *_reasons(verdict.reasons, evidence)]


def _broken_off(
    results: Iterable[CheckResult], evidence: Evidence, context: FindingContext
) -> list[RenderableType]:
    """Checks that came to no end, and what kept others from beginning."""
    stopped = [result for result in results if result.outcome in BROKEN_OFF]
    return [
        *(
            broken_off_block(cause.first, cause.others, _runs_in_short(cause.runs, evidence), context)
            for cause in causes_of(stopped, evidence.errors)
        ),
        *(
            _trouble(one.first, _runs_in_short(one.runs, evidence) if one.runs else "", one.stopped)
            for one in shared(evidence.errors, stopped)
        ),
    ]


def verdict_line(evidence: Evidence, verdict: Verdict) -> Text:
    """`PASS: 128 checks, 92 clauses held, 3 machines × 2 profiles; 12.3 s in all`."""
    if verdict.kind is VerdictKind.UNJUDGEABLE:
        said = (reason.message for reason in verdict.reasons if reason.kind is VerdictKind.UNJUDGEABLE)
        return Text.assemble((f"{verdict.kind}:", _KIND_STYLE[verdict.kind]), " ", printable(next(said)))
    facts = [
        plural(len({result.check for result in evidence.checks}), "check"),
        f"{plural(verdict.count(ClauseOutcome.HELD), 'clause')} held",
    ]
    facts += [
        f"{count} {word}"
        for outcome, word in ((ClauseOutcome.VIOLATED, "broken"), (ClauseOutcome.KNOWN, "known"))
        if (count := verdict.count(outcome))
    ]
    if verdict.absent:
        facts.append(f"{verdict.absent} not in this version")
    facts.append(matrix(run.run for run in evidence.runs))
    time = time_in_all(evidence)
    return Text.assemble((f"{verdict.kind}:", _KIND_STYLE[verdict.kind]), " ", ", ".join(facts), f"; {time}")


def _title(words: str, explained: str = "") -> Text:
    return Text.assemble((words, "bold"), (f"  {explained}" if explained else "", LABEL))


def _header(evidence: Evidence) -> RenderableType:
    subject = evidence.subject
    name = Text.assemble(("subject  ", LABEL), (printable(subject.name), "bold"))
    sha = Text(f"sha256 {subject.sha256[:_SHA_SHOWN]}", style=LABEL)
    lines: list[RenderableType] = [headline(name, sha)]
    if subject.path:
        lines.append(Text.assemble(("file     ", LABEL), printable(subject.path), overflow="fold"))
    if evidence.selection:
        lines.append(Text.assemble(("only     ", LABEL), printable(evidence.selection), overflow="fold"))
    if with_what := tools(evidence):
        lines.append(Text.assemble(("with     ", LABEL), printable(with_what), overflow="fold"))
    if steps := steps_in_words(evidence.steps_s):
        lines.append(Text.assemble(("time     ", LABEL), steps, overflow="fold"))
    return Group(*lines)


def steps_in_words(steps_s: Mapping[str, float]) -> str:
    """`compile dev 3.1 s, compile release 4.2 s, preflight 0.9 s, checks 31.0 s`, without what took none."""
    shown = ((name, seconds(took)) for name, took in steps_s.items())
    return ", ".join(f"{name} {took}" for name, took in shown if took != seconds(0))


def _runs(evidence: Evidence) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=LABEL, show_edge=False)
    table.add_column("run", no_wrap=True)
    for column in ("checks", "passed", "broken", "skipped", "stopped", "guests", "guest time"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in run_rows(evidence):
        table.add_row(
            Text(printable(str(row.run.run))),
            Text(str(row.checks)),
            _count(row.passed, "green"),
            _count(row.broken, "red"),
            _count(row.skipped, "yellow"),
            _count(row.stopped, "bold red"),
            Text(str(row.run.guests_booted)),
            Text(row.guest_time),
        )
    return table


def _count(count: int, style: str) -> Text:
    return Text(str(count), style=style) if count else Text("·", style=LABEL)


def _not_evaluated(verdict: Verdict) -> list[RenderableType]:
    groups = unjudged(verdict)
    if not groups:
        return []
    count = sum(len(ids) for _, ids in groups)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=LABEL, max_width=34, overflow="fold")
    grid.add_column(overflow="fold")
    for reason, ids in groups:
        grid.add_row(Text(f"  {printable(reason)}"), Text(id_ranges(ids)))
    lines = [Text(f"  {printable(reason)}  {id_ranges(ids)}") for reason, ids in groups]
    title = _title(f"{plural(count, 'clause')} not evaluated")
    return [Group(title, ByWidth(grid, Group(*lines)))]


def _unpromised(verdict: Verdict) -> list[RenderableType]:
    if not verdict.unpromised:
        return []
    lines = [Text(f"  {printable(words)}") for words in verdict.unpromised]
    return [Group(_title("not evaluated", "the contract says nothing of it"), *lines)]


def _skipped(evidence: Evidence) -> list[RenderableType]:
    """Why checks were skipped, each reason once."""
    reasons = skipped(evidence)
    if not reasons:
        return []
    lines = [Text(f"  {printable(why)}: {plural(count, 'check')}") for why, count in reasons]
    total = sum(count for _, count in reasons)
    return [Group(_title(f"{plural(total, 'check')} skipped"), *lines)]


def _lacking(evidence: Evidence) -> list[RenderableType]:
    if not evidence.lacks:
        return []
    names = Text(f"  {', '.join(evidence.lacks)}", overflow="fold")
    return [Group(_title("names that this version lacks", "their clauses are not judged"), names)]


def _known(found: Sequence[Finding], baseline: Baseline) -> list[RenderableType]:
    if not found:
        return []
    lines: list[RenderableType] = [_title(plural(len(found), "known finding"), f"from {baseline.source}")]
    for finding in found:
        words = Text(printable(finding.known))
        lines.append(clause_line(Text(finding.clause, style="yellow"), words, finding.where))
    return [Group(*lines)]


def _stale(entries: Sequence[BaselineEntry], baseline: Baseline) -> list[RenderableType]:
    if not entries:
        return []
    one = len(entries) == 1
    noun = "entry of the baseline fires" if one else "entries of the baseline fire"
    them = "it" if one else "them"
    lines: list[RenderableType] = [
        _title(f"{len(entries)} {noun} no longer", f"take {them} out of {baseline.source}")
    ]
    for entry in entries:
        scope = f" ({printable(entry.scope)})" if entry.scope else ""
        lines.append(Text.assemble((f"  {entry.id:<9} ", "yellow"), printable(entry.reason), scope))
    return [Group(*lines)]


def _trouble(trouble: Trouble, where: str, stopped: int) -> RenderableType:
    title = Text.assemble(
        (f"  {printable(trouble.what)}: ", _KIND_STYLE[VerdictKind.ERROR]), printable(trouble.message)
    )
    lines: list[RenderableType] = [title]
    if where:
        lines.append(Text.assemble(("    runs: ", LABEL), where))
    detail = trouble.detail.splitlines()
    lines += [verbatim(f"    {line}") for line in detail[detail[:1] == [trouble.message] :]]
    if stopped:
        lines.append(Text.assemble(("    stopped: ", LABEL), plural(stopped, "check")))
    if trouble.next:
        lines.append(Text.assemble(("    next: ", LABEL), printable(trouble.next)))
    return Group(*lines)


def _layouts(evidence: Evidence) -> list[RenderableType]:
    """Each layout text once, unless a finding shows it already."""
    exhibits = {result.exhibit for result in evidence.checks}
    runs_by_text: dict[str, list[RunKey]] = {}
    for run in evidence.runs:
        if run.layout.text and run.layout.text not in exhibits:
            runs_by_text.setdefault(run.layout.text, []).append(run.run)
    return [
        Group(
            _title("layout", _runs_in_short(runs, evidence)),
            *(verbatim(f"  {line}") for line in text.splitlines()),
        )
        for text, runs in runs_by_text.items()
    ]


def _reasons(reasons: Sequence[Reason], evidence: Evidence) -> list[RenderableType]:
    """Everything else that stands against a PASS, the same words of several runs or clauses on one line."""
    others = against(reasons, _SHOWN_ELSEWHERE)
    if not others:
        return []
    lines: list[RenderableType] = [_title("against a pass")]
    for one in others:
        label, words = Text(one.kind, style=_KIND_STYLE[one.kind]), Text(printable(one.words))
        lines.append(clause_line(label, words, _runs_in_short(one.runs, evidence)))
    return [Group(*lines)]


def _runs_in_short(runs: Sequence[RunKey], evidence: Evidence) -> str:
    if len(runs) > 1 and set(runs) == set(evidence.planned_runs):
        return "every run"
    shown = ", ".join(map(str, runs[:2]))
    return shown if len(runs) <= 2 else f"{shown}, {len(runs) - 2} more"


def coverage_parts(coverage: Coverage | None) -> Iterator[RenderableType]:
    """A part for each file: how much of it ran, and the functions that did not run whole."""
    for source in coverage.sources if coverage else ():
        yield Group(*_of_a_file(source))


def _of_a_file(source: SourceCoverage) -> Iterator[RenderableType]:
    head, _, facts = words.total(source).partition(": ")
    yield Text.assemble((head, "bold"), "  ", (facts, LABEL))
    rows = words.rows(source)
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=LABEL, show_edge=False)
    table.add_column("function", overflow="fold")
    for column in ("lines", "hit", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("not reached", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    yield table
    if others := len(source.functions) - len(rows):
        yield Text(f"each line of {plural(others, 'other function')} was reached", style=LABEL)
