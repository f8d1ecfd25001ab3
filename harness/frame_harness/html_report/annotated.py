"""A subject's source with what ran of it, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from frame_harness.coverage.lines import LineCoverage, LineState, SourceCoverage
from frame_harness.html_report.excerpt import highlighted

SIGNS: Final[Mapping[LineState, str]] = {
    LineState.HIT: "✓", LineState.NOT_HIT: "✗", LineState.NOT_IN_KERNEL: "–",
}  # fmt: skip
"""By what became of a line that has code; a line without code has none."""
WORDS: Final[Mapping[LineState, str]] = {
    LineState.HIT: "ran", LineState.NOT_HIT: "did not run",
    LineState.NOT_IN_KERNEL: "not in this kernel: nobody calls it",
}  # fmt: skip
_CHECKS_NAMED = 3


@dataclass(frozen=True)
class AnnotatedLine:
    """One line of a file as the page shows it; `state` is empty where there is nothing to say of it."""

    number: int
    markup: Markup
    state: str
    sign: str
    words: str


@dataclass(frozen=True)
class AnnotatedSource:
    """One file with what ran of it."""

    path: str
    n_hit: int
    n_lines: int
    lines: tuple[AnnotatedLine, ...]


def annotated(source: SourceCoverage, sources: Mapping[str, str]) -> AnnotatedSource:
    """A file's lines with what became of each; only those with code where its text is not known."""
    covered = {one.line: one for one in source.lines}
    text = sources.get(source.path)
    shown = (
        {number: Markup() for number in sorted(covered)}
        if text is None
        else dict(enumerate(highlighted(text), start=1))
    )
    lines = tuple(_line(number, markup, covered.get(number), source) for number, markup in shown.items())
    return AnnotatedSource(source.path, source.n_hit, len(source.lines), lines)


def _line(number: int, markup: Markup, found: LineCoverage | None, source: SourceCoverage) -> AnnotatedLine:
    if found is None:
        return AnnotatedLine(number, markup, "", "", "")
    words = WORDS[found.state]
    if found.checks:
        names = [source.checks[place] for place in found.checks[:_CHECKS_NAMED]]
        more = len(found.checks) - len(names)
        words += f", in {', '.join(names)}" + (f" and {more} more" if more > 0 else "")
    return AnnotatedLine(number, markup, found.state, SIGNS[found.state], words)
