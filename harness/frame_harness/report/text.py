"""Small pieces of text that all reports share, and how wide they may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from frame_harness.base.text import plural, printable
from frame_harness.judge.evidence import RunKey


def matrix(runs: Iterable[RunKey]) -> str:
    """`3 machines × 2 profiles`, or the plain number of runs when some pairs are missing."""
    runs = set(runs)
    if not runs:
        return "no run"
    machines, profiles = {run.machine for run in runs}, {run.profile for run in runs}
    if len(runs) == len(machines) * len(profiles):
        return f"{plural(len(machines), 'machine')} × {plural(len(profiles), 'profile')}"
    return plural(len(runs), "run")


def id_ranges(ids: Sequence[str]) -> str:
    """`CONST-01…05 REF-07`: neighbors in contract order that count on are drawn together."""
    groups: list[list[str]] = []
    for id_ in ids:
        family, _, number = id_.rpartition("-")
        if groups and groups[-1][-1] == f"{family}-{int(number) - 1:02}":
            groups[-1].append(id_)
        else:
            groups.append([id_])
    return " ".join(
        group[0] if len(group) == 1 else f"{group[0]}…{group[-1].rpartition('-')[2]}" for group in groups
    )


def short_check(check: str) -> str:
    """A check's own words: `new life is whole` of `…/test_d.py::test_new_life_is_whole`."""
    name = check.rpartition("::")[2]
    return name.removeprefix("test_").replace("_", " ")


def one_line(words: str) -> str:
    """Words of anybody as a line that they cannot end."""
    return " ".join(printable(words).split())


def markdown_text(words: str) -> str:
    """Words of anybody as plain text in a line or a cell of Markdown."""
    words = one_line(words)
    for sign in "\\`*_<>|[]#~$&":
        words = words.replace(sign, f"\\{sign}")
    return words


def markdown_span(words: str) -> str:
    """Words of anybody as code in a line of Markdown; a backtick would end it and becomes an apostrophe."""
    line = one_line(words).replace("`", "'")
    return f"`{line}`"


def markdown_block(lines: Sequence[str], language: str = "") -> Iterator[str]:
    """Lines of anybody as a block of code that none of them can end; nothing where there are none."""
    if lines:
        shown = (printable(line).replace("````", "` ` ` `") for line in lines)
        yield from (f"````{language}", *shown, "````", "")


PIPE_WIDTH = 20_000
"""Columns of a console that is no terminal: programs read whole lines."""
_WIDE = 1_000


class ByWidth:
    """Something for a screen, or else for a pipe."""

    def __init__(self, screen: RenderableType, pipe: RenderableType) -> None:
        self._screen, self._pipe = screen, pipe

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._pipe if options.max_width > _WIDE else self._screen
