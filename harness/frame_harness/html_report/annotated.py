"""A subject's source with what ran of it, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from markupsafe import Markup

from frame_harness.html_report.excerpt import highlighted

HIT: Final = "hit"
SIGNS: Final[Mapping[str, str]] = {HIT: "✓", "not-hit": "✗", "not-in-kernel": "–"}
"""By what became of a line that has code; a line without code has none."""
WORDS: Final[Mapping[str, str]] = {
    HIT: "ran", "not-hit": "did not run", "not-in-kernel": "not in this kernel: nobody calls it",
}  # fmt: skip
_CHECKS_NAMED = 3


class CoveredLine(Protocol):
    """A line that has code; `state` is a key of `SIGNS`, `checks` are places in its source's `checks`."""

    @property
    def line(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def checks(self) -> tuple[int, ...]: ...


class CoveredSource(Protocol):
    """One file; `checks` are the names of the checks that ran any of its lines."""

    @property
    def path(self) -> str: ...

    @property
    def lines(self) -> Sequence[CoveredLine]: ...

    @property
    def checks(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class AnnotatedLine:
    """One line of a file as the page shows it; `state` is empty where it has no code."""

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


def annotated(source: CoveredSource, sources: Mapping[str, str]) -> AnnotatedSource:
    """A file's lines with what became of each; only those with code where its text is not known."""
    covered = {int(one.line): one for one in source.lines}
    text = sources.get(source.path)
    shown = (
        {number: Markup() for number in sorted(covered)}
        if text is None
        else dict(enumerate(highlighted(text), start=1))
    )
    counts = Counter(str(one.state) for one in source.lines)
    return AnnotatedSource(
        source.path,
        counts[HIT],
        len(source.lines),
        tuple(_line(number, markup, covered.get(number), source) for number, markup in shown.items()),
    )


def _line(number: int, markup: Markup, found: CoveredLine | None, source: CoveredSource) -> AnnotatedLine:
    if found is None:
        return AnnotatedLine(number, markup, "", "", "")
    state = str(found.state)
    words = WORDS[state]
    if found.checks:
        names = [source.checks[place] for place in found.checks[:_CHECKS_NAMED]]
        more = len(found.checks) - len(names)
        words += f", in {', '.join(names)}" + (f" and {more} more" if more > 0 else "")
    return AnnotatedLine(number, markup, state, SIGNS[state], words)
