"""What the options of several commands are made of, and how commands say what they are at."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import PROFILES

F = TypeVar("F", bound=Callable[..., Any])


class _NamedPath(click.Path):
    """A path that is not empty: that of a variable that nobody has set would be the working directory."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        if not os.fspath(value):
            self.fail("expected a path, got an empty text.", param, ctx)
        try:
            Path(os.fsdecode(value)).stat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # it may be made; who only reads it says so
        except OSError as error:  # links in a circle, a name that is too long, a folder that is closed
            self.fail(f"{os.fspath(value)!r}: {error.strerror}.", param, ctx)
        return super().convert(value, param, ctx)


class _RealRange(click.FloatRange):
    """The numbers of a range; `nan` is in each to click, since every comparison with it is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"expected a number, got {value}.", param, ctx)
        return number


SECONDS = _RealRange(min=0, min_open=True)
PERCENT = _RealRange(0, 100)
FILE = _NamedPath(dir_okay=False, path_type=Path)
FOLDER = _NamedPath(file_okay=False, path_type=Path)
TREE = _NamedPath(path_type=Path)
TREE_VARIABLE: Final = "KERNEL_SRC"
LAST_RUN: Final = Path("-")
"""In place of a report: the last run of the same file or tree."""


def _not_in_place_of_a_tree(
    context: click.Context, _option: click.Parameter, named: Path | None
) -> Path | None:
    """Refuse the built-in module where the environment names a tree that the command cannot take."""
    tree = os.environ.get(TREE_VARIABLE)
    takes_trees = any(one.envvar == TREE_VARIABLE for one in context.command.params)
    if tree and named is None and not takes_trees:
        raise UsageError(
            TREE_VARIABLE, tree, detail=f"`{context.info_name}` takes a frame module, no kernel tree",
            next_step="name a file with FRAME_RS, or --frame-rs; for the built-in module unset KERNEL_SRC",
        )  # fmt: skip
    return named


def frame_rs_option(what: str) -> Callable[[F], F]:
    """Return the option that names a frame.rs; `what` the command does with it."""
    return click.option(
        "--frame-rs", type=FILE, envvar="FRAME_RS", show_envvar=True, callback=_not_in_place_of_a_tree,
        help=f"The module {what}; default: the built-in one.",
    )  # fmt: skip


def profile_option(default: str | None, *others: str, words: str | None = None) -> Callable[[F], F]:
    """Return the option that names a profile: one that subjects are judged in, or one of `others`."""
    return click.option(
        "--profile", type=click.Choice([*PROFILES, *others]), default=default,
        show_default=default is not None, help=words,
    )  # fmt: skip


def not_empty(context: click.Context, option: click.Parameter, text: str) -> str:
    """Refuse an empty text, as that of a variable that nobody has set: it would stand for the default."""
    if not text and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
        raise click.BadParameter("expected a text, got an empty one.", context, option)
    return text


def to_stderr(line: str) -> None:
    """Write a line beside the results."""
    click.echo(line, err=True)


def refuse_with(option: str, others: Mapping[str, object]) -> None:
    """Refuse a command line on which one of the others is given, too."""
    if given := [name for name, value in others.items() if value]:
        raise click.UsageError(f"{_told(given[0])} does not go with {_told(option)}")


def _told(option: str) -> str:
    """An option, with the variable that gives it where nobody wrote it."""
    context = click.get_current_context(silent=True)
    for one in context.command.params if context is not None else ():
        if option in one.opts and context is not None and one.name is not None:
            source = context.get_parameter_source(one.name)
            return f"{option} (of {one.envvar})" if source is ParameterSource.ENVIRONMENT else option
    return option
