"""Source lines around a place, with colors of their syntax."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import RustLexer

from frame_harness.base.text import printable
from frame_harness.judge.evidence import Evidence

AROUND = 4
_LONGEST_LINE = 400
_LARGEST_FILE = 4 << 20


@dataclass(frozen=True)
class Line:
    """One line of a file, as HTML; `marked` is the one that a finding names."""

    number: int
    markup: Markup
    marked: bool


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a file."""

    file: str
    line: int
    lines: tuple[Line, ...]


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
        tuple(Line(at, lines[at - 1], at == line) for at in range(first, min(len(lines), line + around) + 1)),
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
    """The texts of the subject's files that results name.

    Only what lies beside the subject is read: the place of a panic is a text of the guest's, and may name
    any file of the host.
    """
    base = Path(evidence.subject.path)
    if not evidence.subject.path:
        return {}
    folder = (base if base.is_dir() else base.parent).resolve()
    found: dict[str, str] = {}
    for name in {result.at.rpartition(":")[0] for result in evidence.checks if result.at}:
        path = Path(name)
        try:
            inside = path.suffix == ".rs" and path.resolve().is_relative_to(folder)
            if inside and path.is_file() and path.stat().st_size <= _LARGEST_FILE:
                found[name] = path.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            continue  # the finding stays, with the place as a text
    return found
