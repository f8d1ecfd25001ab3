"""The commands for a person who looks into a run: `debug`, `rewind`; `judge`, `show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from frame_harness.cli.options import FILE, FOLDER, frame_rs_option, not_empty, profile_option, refuse_with


@click.command("debug")
@click.argument("check")
@frame_rs_option("to debug")
@click.option("--machine", "machines", multiple=True, help="A machine's name or TOML file; repeat for more.")
@profile_option("dev")
@click.option(
    "--at", default="", metavar="FILE:LINE", callback=not_empty,
    help="Let gdb stop there, from the guest's first command on; default: the finding's line.",
)  # fmt: skip
@click.option("--before-last", is_flag=True, help="Hold the guest before its last command, and stop nowhere.")
@click.option("--vscode", type=FILE, help="Write a launch.json for Visual Studio Code, too.")
@click.option("--record", is_flag=True, help="Keep a recording of the guest for `rewind`, and hold nothing.")
def debug_command(
    check: str,
    frame_rs: Path | None,
    machines: tuple[str, ...],
    profile: str,
    at: str,
    before_last: bool,
    vscode: Path | None,
    record: bool,
) -> NoReturn:
    """Stop a guest where CHECK fails, and wait for gdb; CHECK is a check's name, or a clause's id."""
    from frame_harness.cli.debug import DebugRequest, debug, make_recording  # noqa: PLC0415

    if at and before_last:
        raise click.UsageError("--at does not go with --before-last")
    request = DebugRequest(check, frame_rs, machines, profile)
    if record:
        refuse_with("--record", {"--at": at, "--before-last": before_last, "--vscode": vscode})
        sys.exit(int(make_recording(request)))
    sys.exit(int(debug(request, at, before_last=before_last, vscode=vscode)))


@click.command("rewind")
@click.argument("check")
@click.argument("field")
@frame_rs_option("whose check was recorded")
@click.option("--machine", "machines", multiple=True, help="A machine's name or TOML file; repeat for more.")
@profile_option("dev")
@click.option(
    "--frame", default="", metavar="PADDR", callback=not_empty, help="Another frame than the finding's."
)
@click.option(
    "--recording", type=FOLDER, help="The folder of a recording; default: the check's last, or a new one."
)
def rewind_command(
    check: str,
    field: str,
    frame_rs: Path | None,
    machines: tuple[str, ...],
    profile: str,
    frame: str,
    recording: Path | None,
) -> NoReturn:
    """Say who wrote a FIELD of the slot that CHECK complains about last, and when, from a recording."""
    from frame_harness.cli.debug import DebugRequest  # noqa: PLC0415
    from frame_harness.cli.rewind import rewind  # noqa: PLC0415

    request = DebugRequest(check, frame_rs, machines, profile)
    sys.exit(int(rewind(request, field, frame, recording)))


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
