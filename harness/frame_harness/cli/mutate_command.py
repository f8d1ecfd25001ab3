"""The command `mutate`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import NoReturn

import click

from frame_harness.base.profiles import BOTH
from frame_harness.cli.campaign_options import CampaignOptions, campaign_options
from frame_harness.cli.options import (
    FILE,
    PERCENT,
    TREE,
    TREE_VARIABLE,
    frame_rs_option,
    not_empty,
    profile_option,
    refuse_with,
)
from frame_harness.mutation.mutants import SENTENCES, Operator


@click.command(
    "mutate",
    epilog="\b\nOperators:\n" + "\n".join(f"  {name:21}{words}" for name, words in SENTENCES.items()),
)
@frame_rs_option("to make mutants of")
@click.option(
    "--kernel-src", type=TREE, envvar=TREE_VARIABLE, show_envvar=True,
    help="A kernel tree instead: mutants of its memory core, judged by the core's cases.",
)  # fmt: skip
@click.option("--machine", "machines", multiple=True, help="As for `check`; repeat for more.")
@profile_option(BOTH, BOTH)
@click.option(
    "--function", "functions", multiple=True, metavar="PATTERN",
    help="Only mutants of these functions, such as 'MetaSlot::*'; repeat for more.",
)  # fmt: skip
@click.option(
    "--operator", "operators", multiple=True, metavar="NAME",
    type=click.Choice([one.value for one in Operator]),
    help="Only mutants that these operators make; repeat for more.",
)  # fmt: skip
@click.option("--sample", type=click.IntRange(1), help="Only so many, evenly over operators and functions.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Another one, another sample."
)
@click.option("--list", "lists", is_flag=True, help="List the chosen mutants, judge none.")
@click.option(
    "--again",
    default="",
    metavar="KEY",
    callback=not_empty,
    help="Judge this one again; show all that is known of it.",
)
@click.option(
    "--least", type=PERCENT, metavar="PERCENT",
    help="The score from which on the status is 0; default: 100, with --explained any.",
)  # fmt: skip
@click.option(
    "--explained", type=FILE, metavar="FILE",
    help="Reasons why mutants may survive, as TOML; each survivor needs one then.",
)  # fmt: skip
@click.option(
    "--every-run", is_flag=True,
    help="Judge mutants with a reason in every run, as others; without it in one run on the first machine.",
)  # fmt: skip
@campaign_options
@click.option("--json", "json_", type=FILE, help="Write the report as JSON.")
@click.option("--html", type=FILE, help="Write the report as one HTML page.")
def mutate_command(
    frame_rs: Path | None,
    kernel_src: Path | None,
    machines: tuple[str, ...],
    profile: str,
    functions: tuple[str, ...],
    operators: tuple[str, ...],
    sample: int | None,
    seed: int,
    lists: bool,
    again: str,
    least: float | None,
    explained: Path | None,
    every_run: bool,
    where: CampaignOptions,
    json_: Path | None,
    html: Path | None,
) -> NoReturn:
    """Put a bug into the subject, and another, and another: say which of them `check` does not notice."""
    from frame_harness.cli import mutate  # noqa: PLC0415  the other commands start faster without it
    from frame_harness.cli.mutate_grounds import CoreGround, FrameGround  # noqa: PLC0415
    from frame_harness.mutation_testing.campaign import Choice  # noqa: PLC0415

    if kernel_src is not None:
        refuse_with("--kernel-src", {"--frame-rs": frame_rs, "--machine": machines})
    of_a_campaign: dict[str, object] = {
        "--json": json_, "--html": html, "--every-run": every_run, "--out": where.out,
        "--resume": where.resume, "--scheduler": where.scheduler,
    }  # fmt: skip
    of_a_choice = {"--function": functions, "--operator": operators, "--sample": sample}
    if lists:
        refuse_with("--list", {"--again": again, "--least": least is not None, **of_a_campaign})
    if again:
        refuse_with("--again", {**of_a_choice, **of_a_campaign})
    ground = (
        FrameGround(frame_rs, machines, profile, where.workers)
        if kernel_src is None
        else CoreGround(kernel_src, profile)
    )
    words = {"--frame-rs": frame_rs, "--kernel-src": kernel_src}
    request = mutate.MutateRequest(
        ground,
        command="".join(f"{name} {shlex.quote(str(path))} " for name, path in words.items() if path),
        choice=Choice(functions, tuple(map(Operator, operators)), sample, seed),
        least=least, where=where, json=json_, html=html,
        explained=explained, every_run=every_run,
    )  # fmt: skip
    if lists:
        sys.exit(int(mutate.list_mutants(request)))
    sys.exit(int(mutate.again(request, again) if again else mutate.mutate(request)))
