"""The command that judges a frame module, or a memory core."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from frame_harness.base.errors import HarnessError
from frame_harness.base.profiles import BOTH, COVERAGE, profiles_named
from frame_harness.base.report_files import ReportFiles
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions, spread_options
from frame_harness.cli.options import (
    FILE,
    FOLDER,
    LAST_RUN,
    TREE,
    TREE_VARIABLE,
    frame_rs_option,
    not_empty,
    profile_option,
    refuse_with,
)
from frame_harness.judge.exit_codes import ExitCode

if TYPE_CHECKING:
    from frame_harness.image.side_by_side import BuildEach


@click.command(
    "check", epilog="\b\nExit status:\n" + "\n".join(f"  {int(c):3}  {c.name}: {c.words}" for c in ExitCode)
)
@frame_rs_option("to judge")
@click.option(
    "--kernel-src", type=TREE, envvar=TREE_VARIABLE, show_envvar=True,
    help="A kernel tree instead: judge its memory core, the real files together.",
)  # fmt: skip
@click.option(
    "--core", is_flag=True,
    help="Judge the module together with the built-in allocators, by the clauses of a memory core.",
)  # fmt: skip
@click.option(
    "--case", default="", metavar="CASE", callback=not_empty,
    help="With --kernel-src or --core: play this case of a report again.",
)  # fmt: skip
@click.option(
    "--since", default="", metavar="COMMIT", callback=not_empty,
    help="With --kernel-src: follow each finding back to the commit that brought it, no further than COMMIT.",
)  # fmt: skip
@click.option(
    "--machine", "machines", multiple=True,
    help="A machine's name or TOML file; repeat for more. Default: microvm, q35, pc, and others for the "
    "checks that need them.",
)  # fmt: skip
@profile_option(BOTH, BOTH, COVERAGE)
@click.option(
    "--accel", type=click.Choice(["tcg", "auto", "kvm"]), help="Accelerator; default: the machine's."
)
@click.option(
    "-k", "select", default="", metavar="EXPR", help="Only checks that match: clause ids, test names."
)
@click.option(
    "--last-failed", is_flag=False, flag_value=str(LAST_RUN), type=FILE, metavar="[JSON]",
    help="Only checks that were broken when they last ran, or that are broken in a report of --json.",
)  # fmt: skip
@click.option("--baseline", type=FILE, help="Known findings (TOML): they are listed, and are no failure.")
@click.option("--json", "json_", type=FILE, help="Write the verdict as JSON.")
@click.option("--junit", type=FILE, help="Write the checks as JUnit XML.")
@click.option("--sarif", type=FILE, help="Write the findings as SARIF, for code scanning.")
@click.option("--code-quality", type=FILE, help="Write the findings as a code quality report of GitLab.")
@click.option(
    "--cov", "coverage", is_flag=True,
    help="Make the checks once more on one machine, in a build without optimization; tell which lines ran.",
)  # fmt: skip
@click.option("--lcov", type=FILE, help="The same, and write the lines in the format of LCOV.")
@click.option("--html", type=FILE, help="Write the report as one HTML page, with pictures.")
@click.option("--upstream", type=FOLDER, help="Write each finding as a text for the kernel's maintainers.")
@click.option(
    "--out", type=FOLDER, metavar="DIR",
    help="Keep the evidence there: reports, and what failing checks leave; default: among the last runs.",
)  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=None,
    help="With --kernel-src or --core: play other histories; default: 1.",
)
@click.option("-n", "guests", type=click.IntRange(1), help="Parallel guests; default: one per CPU.")
@spread_options
@click.option("--red", default="", hidden=True)  # a kernel that must not pass, for the tests of the harness
def check_command(
    frame_rs: Path | None,
    kernel_src: Path | None,
    core: bool,
    case: str,
    since: str,
    machines: tuple[str, ...],
    profile: str,
    accel: str | None,
    select: str,
    last_failed: Path | None,
    baseline: Path | None,
    json_: Path | None,
    junit: Path | None,
    sarif: Path | None,
    code_quality: Path | None,
    coverage: bool,
    lcov: Path | None,
    html: Path | None,
    upstream: Path | None,
    out: Path | None,
    seed: int | None,
    guests: int | None,
    where: CampaignOptions,
    red: str,
) -> NoReturn:
    """Judge a frame module, or a memory core, against the contract.

    With --scheduler each run, a machine in a profile, is made by a worker of that cluster; with --since the
    versions are played there. --resume makes the runs that are missing. --workers alone is the same as -n.
    """
    where.require_sense()
    _require_spreadable(NO_CAMPAIGN if since else where, kernel_src or core, guests, accel, last_failed)
    files = ReportFiles(json_, junit, sarif, code_quality, html, upstream, out)
    if kernel_src is not None or core:
        from frame_harness.cli.core import CoreRequest, check_core  # noqa: PLC0415

        others = {"--machine": machines, "--accel": accel, "-n": guests, "--cov": coverage, "--lcov": lcov}
        of_one = {"--since": since} if kernel_src is None else {"--core": core, "--frame-rs": frame_rs}
        refuse_with("--core" if kernel_src is None else "--kernel-src", {**others, **of_one})
        if case and last_failed:
            raise click.UsageError("--case does not go with --last-failed")
        of_core = CoreRequest(
            kernel_src, frame_rs, profile=profile, select=select, case=case, baseline=baseline, files=files,
            seed=1 if seed is None else seed, last_failed=last_failed, since=since, where=where,
        )  # fmt: skip
        sys.exit(int(check_core(of_core)))
    _refuse_alone({"--case": case or None, "--since": since or None, "--seed": seed})
    with _building(frame_rs, profile) as images:
        from frame_harness.cli.check import CheckRequest, check  # noqa: PLC0415  it takes longest to import

        request = CheckRequest(
            frame_rs=frame_rs, machines=machines, profile=profile, accel=accel, select=select,
            baseline=baseline, files=files, lcov=lcov, coverage=coverage, workers=guests or where.workers,
            last_failed=last_failed, red=red, where=where, images=images,
        )  # fmt: skip
        sys.exit(int(check(request)))


@contextlib.contextmanager
def _building(frame_rs: Path | None, profile: str) -> Iterator[BuildEach]:
    """Compile a frame module while all that judges it is imported; what is wrong with it is told later."""
    from frame_harness.frame_metadata.subject import frame_module  # noqa: PLC0415  as above
    from frame_harness.image.side_by_side import build_each, building_ahead  # noqa: PLC0415

    subject = None
    with contextlib.suppress(HarnessError):  # `check` looks once more, and tells it
        subject = frame_module(frame_rs)
    with contextlib.ExitStack() as stack:
        ahead = subject and building_ahead(subject, profiles_named(profile))
        yield stack.enter_context(ahead) if ahead else build_each


def _refuse_alone(of_a_tree: Mapping[str, object]) -> None:
    """Refuse options of a memory core where a frame module is judged."""
    if alone := [name for name, value in of_a_tree.items() if value is not None]:
        more = "" if alone[0] == "--since" else " or --core"
        raise click.UsageError(f"{alone[0]} goes with --kernel-src{more}")


def _require_spreadable(
    where: CampaignOptions, core: object, guests: int | None, accel: str | None, last_failed: Path | None
) -> None:
    """Refuse what means nothing, or another thing, where runs are made by workers.

    Args:
        where: runs are made.
        core: what says that a memory core is judged.
    """
    if not where.asked:
        return
    option = "--scheduler" if where.scheduler else "--resume" if where.resume else "--workers"
    if guests:
        raise click.UsageError(f"-n does not go with {option}, which says how many guests run at once")
    if option == "--workers":
        if core:
            more = "a core is judged in a process for each profile"
            raise click.UsageError(f"--workers goes with --since or --resume: {more}")
        return
    if accel == "auto":
        raise click.UsageError(f"--accel auto does not go with {option}: workers differ; say tcg or kvm")
    if where.resume is not None and last_failed == LAST_RUN:
        raise click.UsageError(
            "--last-failed does not go with --resume: what failed last is another thing after a part of a "
            "check; name a report of --json"
        )
