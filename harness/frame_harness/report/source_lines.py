"""The lines around the place of a finding, as a person reads them in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache

from rich.console import Console, ConsoleOptions, RenderResult
from rich.syntax import Syntax
from rich.text import Text

from frame_harness.base.text import printable
from frame_harness.report.context import FindingContext

_MARK = ">"
_TAB = 4
_WIDEST = 160


class SourceExcerpt:
    """A few lines with their numbers, the one of the place marked; in color on a terminal alone."""

    def __init__(self, context: FindingContext, place: tuple[str, int], indent: int) -> None:
        self._context, self._place, self._indent = context, place, indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        file, marked = self._place
        lines = self._context.around(self._place)
        color = console.is_terminal and console.color_system is not None
        texts = _colored(self._context, file) if color else None
        numbers = [line.number for line in lines]
        shown = [
            texts[number - 1].copy() if texts else _plain(self._context, number, file) for number in numbers
        ]
        width = min(options.max_width, _WIDEST)
        for number, text in zip(numbers, _dedented(shown), strict=True):
            mark = _MARK if number == marked else " "
            line = Text(" " * self._indent)
            line.append(
                f"{mark} {number:>{len(str(numbers[-1]))}} ", style="bold" if mark == _MARK else "dim"
            )
            line.append_text(text)
            line.truncate(width, overflow="ellipsis")
            line.no_wrap = True
            yield line


def _plain(context: FindingContext, number: int, file: str) -> Text:
    return Text(_as_shown(context.lines(file)[number - 1]))


def _as_shown(line: str) -> str:
    return printable(line.expandtabs(_TAB).rstrip())


@lru_cache(maxsize=8)
def _highlighted(text: str) -> Sequence[Text]:
    syntax = Syntax("", "rust", theme="ansi_dark", background_color="default")
    return tuple(syntax.highlight(text).split("\n", allow_blank=True))


def _colored(context: FindingContext, file: str) -> Sequence[Text]:
    """All lines of a file: a part of it alone may begin inside of a comment, or of a text."""
    return _highlighted("\n".join(map(_as_shown, context.lines(file))))


def _dedented(lines: Sequence[Text]) -> Sequence[Text]:
    """The same without the blanks that all of them begin with."""
    whole = "\n".join(line.plain for line in lines)
    margin = len(whole) - len(textwrap.dedent(whole))
    blank = sum(bool(line.plain.strip()) for line in lines)
    cut = margin // blank if blank else 0
    return [line[cut:] if line.plain.strip() else line for line in lines]
