"""What the options of several commands are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
LAST_RUN: Final = Path("-")
"""In place of a report: the last run of the same file or tree."""


def frame_rs_option(what: str) -> Callable[[F], F]:
    """Return the option that names a frame.rs; `what` the command does with it."""
    return click.option(
        "--frame-rs", type=FILE, envvar="FRAME_RS", show_envvar=True,
        help=f"The module {what}; default: the built-in one.",
    )  # fmt: skip


def refuse_with(option: str, others: Mapping[str, object]) -> None:
    """Refuse a command line on which one of the others is given, too."""
    if given := [name for name, value in others.items() if value]:
        raise click.UsageError(f"{given[0]} does not go with {option}")
