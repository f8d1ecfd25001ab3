"""The command that runs storms."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from frame_harness.base.profiles import COVERAGE
from frame_harness.cli.campaign_options import campaign_options
from frame_harness.cli.options import SECONDS, frame_rs_option, profile_option


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
@click.option("--machine", default="q35", show_default=True, help="A machine's name or TOML file.")
@profile_option("release", COVERAGE)
@campaign_options
def storm_command(**options: Any) -> NoReturn:
    """Run storms: several CPUs work on the same frames for a long time; NAMES choose some storms.

    A wrong name lists those that there are. With workers, --seconds are those of all guests together.
    """
    from frame_harness.cli.storm import StormRequest, storm  # noqa: PLC0415

    sys.exit(int(storm(StormRequest(**options))))
