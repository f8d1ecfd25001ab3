"""Source lines around a place, with colors of their syntax."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import RustLexer

from frame_harness.base.text import printable
from frame_harness.judge.evidence import Evidence
from frame_harness.report.context import FindingContext

AROUND = 4
_LONGEST_LINE = 400


@dataclass(frozen=True)
class ExcerptLine:
    """One line of a file, as HTML; `marked` is the one that a finding names."""

    number: int
    markup: Markup
    marked: bool


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a file."""

    file: str
    line: int
    lines: tuple[ExcerptLine, ...]


def excerpt(at: str, sources: Mapping[str, str], around: int = AROUND) -> Excerpt | None:
    """The lines around a place `file:line`; None where the file is not known, or has no such line."""
    file, _, number = at.rpartition(":")
    if file not in sources or not number.isdecimal():
        return None
    lines, line = highlighted(sources[file]), int(number)
    if not 1 <= line <= len(lines):
        return None
    first = max(1, line - around)
    return Excerpt(
        file,
        line,
        tuple(
            ExcerptLine(at, lines[at - 1], at == line)
            for at in range(first, min(len(lines), line + around) + 1)
        ),
    )


@lru_cache(maxsize=16)
def highlighted(text: str) -> tuple[Markup, ...]:
    """Each line of a Rust file as HTML; the lines are the file's own, so that numbers agree."""
    # The lexer ends lines at "\n" alone; other line ends would shift the numbers.
    plain = text.replace("\r\n", "\n")
    if any(len(line) > _LONGEST_LINE for line in plain.split("\n")):
        return tuple(Markup(html.escape(printable(line[:_LONGEST_LINE]))) for line in plain.split("\n"))
    lexer = RustLexer(stripnl=False, ensurenl=False)
    colored = highlight(_shown(plain), lexer, HtmlFormatter(nowrap=True, classprefix="s-"))
    return tuple(Markup(line) for line in colored.split("\n"))


def _shown(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def style(theme: str) -> str:
    """CSS for the theme `light` or `dark`: rules, each of a class of a token."""
    name = {"light": "friendly", "dark": "github-dark"}[theme]
    formatter = HtmlFormatter(style=name, classprefix="s-")
    rules = str(formatter.get_style_defs(".code")).split("\n")  # type: ignore[no-untyped-call]
    return "\n".join(rule for rule in rules if rule.startswith(".code .s-"))


def sources_of(evidence: Evidence) -> dict[str, str]:
    """The texts of the subject's files that results name, and of those whose coverage is known.

    Only files of the subject are read, as they were judged: the place of a panic is a text of the guest's,
    and may name any file of the host.
    """
    judged = FindingContext(evidence.subject)
    names = {result.at.rpartition(":")[0] for result in evidence.checks if result.at}
    names |= {one.path for one in evidence.coverage.sources} if evidence.coverage else set()
    texts = {name: judged.lines(name) for name in names}
    return {name: "\n".join(lines) for name, lines in texts.items() if lines}
