"""The commands that open an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from frame_harness.cli.options import FOLDER


@click.command("judge")
@click.argument("folder", type=FOLDER, metavar="DIR")
def judge_command(folder: Path) -> NoReturn:
    """Judge the evidence in DIR again, which `check` kept: the same report, the same exit status."""
    from frame_harness.cli.judge import judge_again  # noqa: PLC0415

    sys.exit(int(judge_again(folder)))


@click.command("show")
@click.argument("folder", type=FOLDER, metavar="[DIR]", required=False)
@click.argument("number", type=int, metavar="[N]", required=False)
def show_command(folder: Path | None, number: int | None) -> NoReturn:
    """Show what a run kept: its findings, or of finding N the commands, console, registers and slots.

    DIR is a folder of `check --out`; default: the last run.
    """
    from frame_harness.cli.show import show  # noqa: PLC0415

    if folder is not None and str(folder).isdecimal() and not folder.exists():
        if number is not None:
            raise click.UsageError(
                f"expected [DIR] and a number, got two numbers; there is no folder {folder}"
            )
        folder, number = None, int(str(folder))
    sys.exit(int(show(folder, number)))
