"""The commands that play for a long time, and what is left of it: `fuzz`, `corpus`, `replay`, `storm`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from frame_harness.base.profiles import COVERAGE
from frame_harness.cli.campaign_options import campaign_options
from frame_harness.cli.options import FILE, FOLDER, SECONDS, frame_rs_option, profile_option

_MACHINE = click.option("--machine", default="q35", show_default=True, help="A machine's name or TOML file.")


@click.command("fuzz")
@click.option(
    "--time", "seconds", type=SECONDS, default=60.0, show_default=True,
    help="In all; with workers, rounds that have begun by then are played to their end.",
)  # fmt: skip
@click.option("--commands", type=click.IntRange(1), help="Stop after so many commands, not by the clock.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Plays the same histories again; default: that of --resume, else a new one.",
)
@frame_rs_option("to judge")
@_MACHINE
@profile_option("dev")
@click.option(
    "--scripts", "folder", type=FOLDER, help="Where findings are saved; default: in the build folder."
)
@click.option(
    "--corpus",
    type=FOLDER,
    metavar="DIR",
    help="Begin with the histories of that folder, keep there what reaches more; default: ./corpus.",
)
@click.option("--minimize", is_flag=True, help="At the end leave the fewest histories that reach the same.")
@click.option("--blind", is_flag=True, help="Play random histories alone, steered by nothing.")
@campaign_options
def fuzz_command(**options: Any) -> NoReturn:
    """Play histories against the reference model; each broken clause becomes a short script.

    Histories are steered by the branches of the module that they run, and by states of the memory: what
    reaches something new is kept and varied. A share of them stays random.
    """
    from frame_harness.cli.fuzz import FuzzRequest, fuzz  # noqa: PLC0415

    sys.exit(int(fuzz(FuzzRequest(**options))))


@click.group("corpus")
def corpus_command() -> None:
    """Work on a folder of kept histories; `pytest DIR` plays them as tests."""


@corpus_command.command("minimize")
@click.argument("folder", metavar="DIR", type=FOLDER)
@frame_rs_option("whose branches count")
@_MACHINE
@profile_option("dev")
def minimize_command(folder: Path, frame_rs: Path | None, machine: str, profile: str) -> NoReturn:
    """Leave the fewest histories that reach the same; findings stay."""
    from frame_harness.cli.corpus import minimize  # noqa: PLC0415

    sys.exit(int(minimize(folder, frame_rs, machine, profile)))


@click.command("replay")
@click.argument("file", type=FILE)
@frame_rs_option("to judge")
@click.option("--machine", default=None, help="Instead of the script's own.")
@profile_option(None, COVERAGE, words="Instead of the script's own.")
def replay_command(file: Path, frame_rs: Path | None, machine: str | None, profile: str | None) -> NoReturn:
    """Play a saved script against any module, judged by the reference model."""
    from frame_harness.cli.replay import replay  # noqa: PLC0415

    sys.exit(int(replay(file, frame_rs, machine, profile)))


@click.command("storm")
@click.argument("names", nargs=-1)
@click.option(
    "--seconds", "--time", type=SECONDS, default=60.0, show_default=True,
    help="In all.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1), help="Stop after so many of each storm, not by the clock.")
@click.option("--cpus", type=click.IntRange(2, 8), default=2, show_default=True, help="CPUs of each guest.")
@click.option(
    "--seed",
    type=click.IntRange(0, 1 << 56),  # each CPU of each guest makes one of 64 bits of it
    default=1,
    show_default=True,
    help="Of the first guest's random numbers.",
)
@click.option(
    "--again", is_flag=True,
    help="Repeat storms that broke something until they do so again; status 8 when they do not.",
)  # fmt: skip
@frame_rs_option("to judge")
@_MACHINE
@profile_option("release", COVERAGE)
@campaign_options
def storm_command(**options: Any) -> NoReturn:
    """Run storms: several CPUs work on the same frames for a long time; NAMES choose some storms.

    A wrong name lists those that there are. With workers, --seconds are those of all guests together.
    """
    from frame_harness.cli.storm import StormRequest, storm  # noqa: PLC0415

    sys.exit(int(storm(StormRequest(**options))))
