"""What was seen of one check, as an indented block for the terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frame_harness.base.text import plural, printable
from frame_harness.judge.evidence import CheckResult, Outcome
from frame_harness.judge.findings import Finding
from frame_harness.report.byte_map import ByteMap
from frame_harness.report.context import NO_CONTEXT, FindingContext
from frame_harness.report.origins import origin_words
from frame_harness.report.source_lines import SourceExcerpt
from frame_harness.report.text import ByWidth

LABEL = "dim"
LABEL_WIDTH = 9
_NAME_WIDTH = 11
INDENT = 4
_LAST_LINES = 6
_EXHIBIT_LINES = 24
_CONSEQUENCES = 8
_NAMED = 3
_LINE_WIDTH = 160
_ALL = "check --json FILE keeps all"  # other commands that show findings have no such option
_ENDS = (Outcome.CRASHED, Outcome.TIMEOUT)


def headline(left: Text, right: Text) -> RenderableType:
    """Two texts on one line, the right one at the edge; the left one wraps below itself."""
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(ratio=1, overflow="fold")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return ByWidth(line, Text.assemble(left, "  " if right.plain else "", right))


def clause_line(name: Text, words: Text, where: str) -> RenderableType:
    """A name in its column, words that wrap in theirs, a place at the edge."""
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(width=_NAME_WIDTH, no_wrap=True)
    line.add_column(ratio=1, overflow="fold")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(Text("  ") + name, words, Text(where, style=LABEL))
    gap = " " * max(1, _NAME_WIDTH - 2 - len(name.plain) + 1)
    pipe = Text.assemble("  ", name, gap, words, ("  " if where else "") + where)
    return ByWidth(line, pipe)


def finding_block(
    finding: Finding, consequences: Sequence[Finding] = (), context: FindingContext = NO_CONTEXT
) -> RenderableType:
    """Clause and words, where it shows, then the first violation; what it explains in one line each."""
    style = "yellow" if finding.known else "red"
    name = Text(finding.clause, style=f"bold {style}")
    parts: list[RenderableType] = [clause_line(name, Text(finding.title), finding.where)]
    parts.append(result_block(finding.first, context))
    others = _other_sights(finding)
    if others:
        parts.append(_fields([("also", other) for other in others]))
    if finding.origin is not None:
        parts.append(_fields([("history", origin_words(finding.origin))]))
    parts += _again(finding.first, context)
    if consequences:
        parts.append(_fields(_explained(consequences)))
    return Group(*parts)


def broken_off_block(
    result: CheckResult,
    others: Sequence[str] = (),
    where: str = "",
    context: FindingContext = NO_CONTEXT,
) -> RenderableType:
    """A check that came to no end: what it checks, how it ended, what was seen last.

    Args:
        others: the names of other checks that ended in the same way.
    """
    clauses = " ".join(result.clauses)
    title = Text.assemble((f"  {result.outcome.upper()}  ", "bold red"), printable(result.check))
    parts = [
        headline(title, Text(where or str(result.run), style=LABEL)),
        _fields([("clauses", clauses)]),
        result_block(result, context),
    ]
    if others:
        shown = ", ".join(_names(others)[:_NAMED])
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        parts.append(_fields([("likewise", f"{plural(len(others), 'check')}: {shown}{more}")]))
    return Group(*parts, *_again(result, context))


def _names(checks: Sequence[str]) -> list[str]:
    """Checks by the ends of their names; by whole ones where several end alike."""
    ends = [check.rpartition("::")[2] for check in checks]
    count = Counter(ends)
    return [end if count[end] == 1 else check for check, end in zip(checks, ends, strict=True)]


def result_block(result: CheckResult, context: FindingContext = NO_CONTEXT) -> RenderableType:
    """Expected, got and where, with the line and the slot; then exhibit, last commands, CPUs, console."""
    place = "" if result.frame is None else f"{result.frame:#018x}"
    if result.field:
        place = f"{place}, {result.field}" if place else result.field
    rows = [
        ("what", result.message),
        ("expected", result.expected),
        ("got", result.got),
        ("frame" if result.frame is not None else "field", place),
        ("at", f"{result.at}, in {result.function}" if result.at and result.function else result.at),
    ]
    parts = [_fields(rows)]
    if result.place is not None and context.around(result.place):
        parts.append(SourceExcerpt(context, result.place, INDENT + LABEL_WIDTH - 1))
    parts += _slot(result, context)
    parts += _exhibit(result.exhibit.splitlines())
    parts.append(
        _fields(
            [
                *_block("commands", result.commands[-_LAST_LINES:], len(result.commands)),
                *_block("registers", result.registers, len(result.registers)),
                *_block("backtrace", result.backtrace[:_LAST_LINES], len(result.backtrace)),
                *_block("QEMU", result.events[-_LAST_LINES:], len(result.events)),
                *_block("console", _console(result), len(result.console_tail)),
            ]
        )
    )
    return Group(*parts)


def _console(result: CheckResult) -> tuple[str, ...]:
    """The last lines; of a guest that came to its end also where in the transcript that is."""
    lines = result.console_tail[-_LAST_LINES:]
    ended = lines and result.outcome in _ENDS and result.console_bytes
    return (*lines, f"(its end, at byte {result.console_bytes})") if ended else lines


def _slot(result: CheckResult, context: FindingContext) -> list[RenderableType]:
    """The bytes of the slot, where one of its fields is what the result is about."""
    layout = context.slot
    if result.slot is None or layout is None or result.field not in layout.widths:
        return []
    return [ByteMap(result.slot, result.field, layout, INDENT, LABEL_WIDTH)]


def verbatim(line: str) -> Text:
    """A line that is never wrapped or cut, so that it can be copied or stays a picture."""
    return Text(printable(line), no_wrap=True, overflow="ignore")


def _exhibit(lines: Sequence[str]) -> list[RenderableType]:
    """A picture or a script as it is, as far as a screen holds it."""
    shown: list[RenderableType] = [verbatim(" " * INDENT + line) for line in lines[:_EXHIBIT_LINES]]
    if left_out := len(lines) - len(shown):
        words = f"… {plural(left_out, 'more line')}: {_ALL}"
        shown.append(Text(" " * INDENT + words, style=LABEL))
    return shown


def _explained(consequences: Sequence[Finding]) -> Iterable[tuple[str, str]]:
    for place, one in enumerate(consequences[:_CONSEQUENCES]):
        check = one.first.check.rpartition("::")[2]
        yield ("explains" if place == 0 else "", f"{one.clause}: {one.title} ({check})")
    if left_out := consequences[_CONSEQUENCES:]:
        yield ("", f"… {len(left_out)} more: {' '.join(one.clause for one in left_out)}")


def _again(result: CheckResult, context: FindingContext) -> list[RenderableType]:
    """How to see it again, and where all that its guests left is kept."""
    kept = context.kept.get(result.key)
    rows = [("see it again", result.reproduce, "bold"), ("evidence", str(kept or ""), "")]
    lines: list[RenderableType] = []
    for label, value, style in rows:
        if value:
            line = Text.assemble((f"    {label}: ", LABEL), (printable(value), style))
            line.no_wrap, line.overflow = True, "ignore"
            lines.append(line)
    return lines


def _other_sights(finding: Finding) -> list[str]:
    """Violations of the same clause that look different from the first, each once."""
    first = finding.first
    seen = {(first.message, first.expected, first.got)}
    sights = []
    for result in finding.results[1:]:
        sight = (result.message, result.expected, result.got)
        if sight not in seen:
            seen.add(sight)
            what = result.message or f"expected {result.expected}, got {result.got}"
            sights.append(f"{what} ({result.run}, {result.check.rpartition('::')[2]})")
    if len(sights) <= 2:
        return sights
    return [*sights[:2], f"{plural(len(sights) - 2, 'more way')} that it shows: {_ALL}"]


def _block(label: str, lines: Sequence[str], total: int) -> Iterable[tuple[str, str]]:
    for place, line in enumerate(lines):
        yield (label if place == 0 else "", _cut(line))
    if total > len(lines):
        yield ("", f"… {total - len(lines)} more: {_ALL}")


def _cut(line: str) -> str:
    """A line of a guest, which may have thousands of characters, as far as it helps a reader."""
    if len(line) <= _LINE_WIDTH:
        return line
    half = _LINE_WIDTH // 2
    return f"{line[:half]} … {len(line) - 2 * half} characters … {line[-half:]}"


def _fields(rows: Iterable[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=LABEL_WIDTH, style=LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    filled = [(label, value) for label, value in rows if value]
    for label, value in filled:
        grid.add_row(label, Text(printable(value)))
    return Padding(grid, (0, 0, 0, INDENT), expand=False) if filled else Group()
