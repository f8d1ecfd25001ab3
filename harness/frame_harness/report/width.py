"""One record a line where nobody looks at a screen."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

PIPE_WIDTH = 20_000
"""Columns of a console that is no terminal: programs read whole lines."""
_WIDE = 1_000


class ByWidth:
    """Something for a screen, or else for a pipe."""

    def __init__(self, screen: RenderableType, pipe: RenderableType) -> None:
        self._screen, self._pipe = screen, pipe

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._pipe if options.max_width > _WIDE else self._screen
