"""The command line door."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from frame_harness.base.streams import survive_closed_pipes
from frame_harness.cli.archive_commands import judge_command, show_command
from frame_harness.cli.campaign_options import CampaignOptions, spread_options
from frame_harness.cli.cluster_commands import scheduler_command, worker_command
from frame_harness.cli.coverage_command import coverage_command
from frame_harness.cli.debug_commands import debug_command, rewind_command
from frame_harness.cli.explain import explain_command
from frame_harness.cli.fuzz_commands import corpus_command, fuzz_command, replay_command
from frame_harness.cli.mutate_command import mutate_command
from frame_harness.cli.options import FILE, FOLDER, frame_rs_option, refuse_with
from frame_harness.cli.storm_command import storm_command
from frame_harness.judge.exit_codes import ExitCode, table


class _Group(click.Group):
    """Lists each command with its whole first sentence; click cuts it at the width of a terminal."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, self.commands[name].get_short_help_str(limit=1000)) for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="frame-harness", prog_name="frame-harness", message="%(prog)s %(version)s")
def cli() -> None:
    """Judges a kernel's frame metadata by booting it under QEMU."""


@cli.command("help")
@click.argument("command", default="")
def help_command(command: str) -> None:
    """Show this list, or what a COMMAND does and takes."""
    parent = click.get_current_context().parent
    if parent is None:
        raise AssertionError("help is a command of the group")
    shown = cli.get_command(parent, command) if command else cli
    if shown is None:
        raise click.UsageError(f"No such command '{command}'. Known: {', '.join(cli.commands)}")
    context = click.Context(shown, info_name=command, parent=parent) if command else parent
    click.echo(shown.get_help(context))


@cli.command(
    "check", epilog="\b\nExit status:\n" + "\n".join(f"  {int(c):3}  {c.name}: {c.words}" for c in ExitCode)
)
@frame_rs_option("to judge")
@click.option(
    "--kernel-src", type=click.Path(path_type=Path), envvar="KERNEL_SRC", show_envvar=True,
    help="A kernel tree instead: judge its memory core, the real files together.",
)  # fmt: skip
@click.option(
    "--core", is_flag=True,
    help="Judge the module together with the built-in allocators, by the clauses of a memory core.",
)  # fmt: skip
@click.option(
    "--case", default="", metavar="CASE",
    help="With --kernel-src or --core: play this case of a report again.",
)  # fmt: skip
@click.option(
    "--since", default="", metavar="COMMIT",
    help="With --kernel-src: follow each finding back to the commit that brought it, no further than COMMIT.",
)  # fmt: skip
@click.option(
    "--machine", "machines", multiple=True,
    help="A machine's name or TOML file; repeat for more. Default: microvm, q35, pc, and others for the "
    "checks that need them.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(["dev", "release", "both", "cov"]), default="both", show_default=True
)
@click.option(
    "--accel", type=click.Choice(["tcg", "auto", "kvm"]), help="Accelerator; default: the machine's."
)
@click.option(
    "-k", "select", default="", metavar="EXPR", help="Only checks that match: clause ids, test names."
)
@click.option(
    "--last-failed", is_flag=False, flag_value="-", type=FILE, metavar="[JSON]",
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
    workers: int | None,
    scheduler: str,
    resume: Path | None,
    red: str,
) -> NoReturn:
    """Judge a frame module, or a memory core, against the contract."""
    where = CampaignOptions(workers, scheduler, None, resume)
    if where.asked and not since:
        raise click.UsageError("--workers, --scheduler and --resume go with --since")
    if kernel_src is not None or core:
        from frame_harness.cli.core import CoreRequest, check_core  # noqa: PLC0415

        others = {"--machine": machines, "--accel": accel, "-n": guests, "--cov": coverage, "--lcov": lcov}
        of_one = {"--since": since} if kernel_src is None else {"--core": core, "--frame-rs": frame_rs}
        refuse_with("--core" if kernel_src is None else "--kernel-src", {**others, **of_one})
        if case and last_failed:
            raise click.UsageError("--case does not go with --last-failed")
        of_core = CoreRequest(
            kernel_src, frame_rs, profile=profile, select=select, case=case, baseline=baseline, json=json_,
            junit=junit, sarif=sarif, code_quality=code_quality, html=html, upstream=upstream, out=out,
            seed=1 if seed is None else seed, last_failed=last_failed, since=since, where=where,
        )  # fmt: skip
        sys.exit(int(check_core(of_core)))
    of_a_tree = {"--case": case or None, "--since": since or None, "--seed": seed}
    if alone := [name for name, value in of_a_tree.items() if value is not None]:
        more = "" if alone[0] == "--since" else " or --core"
        raise click.UsageError(f"{alone[0]} goes with --kernel-src{more}")
    from frame_harness.cli.check import Request, check  # noqa: PLC0415  the other commands start faster without it

    request = Request(
        frame_rs=frame_rs, machines=machines, profile=profile, accel=accel, select=select, baseline=baseline,
        json=json_, junit=junit, sarif=sarif, code_quality=code_quality, html=html, upstream=upstream,
        out=out, workers=guests, last_failed=last_failed, red=red, coverage=coverage, lcov=lcov,
    )  # fmt: skip
    sys.exit(int(check(request)))


@cli.command("watch")
@frame_rs_option("to judge")
@click.option(
    "--kernel-src", type=click.Path(path_type=Path), envvar="KERNEL_SRC", show_envvar=True,
    help="A kernel tree instead: judge its memory core, the real files together.",
)  # fmt: skip
@click.option("--machine", "machines", multiple=True, help="A machine's name or TOML file; repeat for more.")
@click.option("--profile", type=click.Choice(["dev", "release", "both"]), default="both", show_default=True)
@click.option(
    "-k", "select", default="", metavar="EXPR", help="Only checks that match: clause ids, test names."
)
@click.option("--baseline", type=FILE, help="Known findings (TOML): they are listed, and are no failure.")
@click.option("-n", "workers", type=click.IntRange(1), help="Parallel guests; default: one per CPU.")
def watch_command(
    frame_rs: Path | None,
    kernel_src: Path | None,
    machines: tuple[str, ...],
    profile: str,
    select: str,
    baseline: Path | None,
    workers: int | None,
) -> NoReturn:
    """Judge a subject each time it is saved, until Ctrl-C; tell what is newly broken and newly held."""
    from frame_harness.cli.check import Request  # noqa: PLC0415  the other commands start faster without it
    from frame_harness.cli.core import CoreRequest  # noqa: PLC0415
    from frame_harness.cli.watch import watch  # noqa: PLC0415

    if kernel_src is not None:
        refuse_with("--kernel-src", {"--frame-rs": frame_rs, "--machine": machines, "-n": workers})
        sys.exit(int(watch(CoreRequest(kernel_src, profile=profile, select=select, baseline=baseline))))
    request = Request(
        frame_rs=frame_rs, machines=machines, profile=profile, select=select, baseline=baseline,
        workers=workers,
    )  # fmt: skip
    sys.exit(int(watch(request)))


@cli.command("machines")
def machines_command() -> None:
    """List the machines that `--machine` knows."""
    from frame_harness.machine.definition import known_machines, load_machine  # noqa: PLC0415

    for name in known_machines():
        click.echo(f"{name:10} {load_machine(name).summary}")


@cli.command("clauses")
@click.option("--markdown", is_flag=True, help="As Markdown, for a document.")
@click.option("--core", is_flag=True, help="Those of a memory core, which --kernel-src judges.")
def clauses_command(markdown: bool, core: bool) -> NoReturn:
    """List the contract's clauses with the checks that look at each."""
    from frame_harness.cli.clauses import core_clauses, suite_clauses  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    found = core_clauses() if core else suite_clauses()
    if markdown:
        click.echo(found.markdown())
    else:
        console = console_for()
        console.print(found.terminal() if console.is_terminal else found.lines(), soft_wrap=True)
        click.echo(found.legend())
        click.echo(found.summary())
    sys.exit(int(ExitCode.NO_TESTS if found.missing else ExitCode.PASS))


@cli.command("bench")
@click.argument("names", nargs=-1)
def bench_command(names: tuple[str, ...]) -> NoReturn:
    """Measure speeds as ratios to floors timed in the same run; NAMES choose some."""
    from frame_harness.cli.bench import bench  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    sys.exit(int(ExitCode.PASS if bench(names, console_for()) else ExitCode.FAIL))


@cli.command("matrix")
@frame_rs_option("in the guest")
@click.option("--machine", default="q35", show_default=True, help="A machine's name or TOML file.")
@click.option("--profile", type=click.Choice(["dev", "release"]), default="dev", show_default=True)
@click.option("--markdown", is_flag=True, help="As Markdown, for a document.")
def matrix_command(frame_rs: Path | None, machine: str, profile: str, markdown: bool) -> NoReturn:
    """Corrupt a guest's memory field by field; show who notices: the kernel, an invariant, nobody."""
    from frame_harness.cli.matrix import show_matrix  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    sys.exit(int(show_matrix(frame_rs, machine, profile, console_for(), markdown=markdown)))


@cli.command("orderings")
@frame_rs_option("to read")
@click.option("--profile", type=click.Choice(["dev", "release"]), default="release", show_default=True)
@click.option("--kernel", is_flag=True, help="Compare with the whole kernel around it, too.")
def orderings_command(frame_rs: Path | None, profile: str, kernel: bool) -> NoReturn:
    """Show the memory orderings in a module's compiled code, function by function."""
    from frame_harness.cli.orderings import show_orderings  # noqa: PLC0415

    sys.exit(int(show_orderings(frame_rs, profile, kernel=kernel)))


@cli.command("console")
@frame_rs_option("in the guest")
@click.option("--machine", default="q35", show_default=True, help="A machine's name or TOML file.")
@click.option("--profile", type=click.Choice(["dev", "release"]), default="dev", show_default=True)
@click.option(
    "--init", type=click.Choice(["none", "array", "full"]), default="full", show_default=True,
    help="What the guest readies before its prompt: nothing, the slot table, the buddy allocator, too.",
)  # fmt: skip
@click.option("--gdb", is_flag=True, help="Let gdb find the guest; the command to start it is shown.")
def console_command(frame_rs: Path | None, machine: str, profile: str, init: str, gdb: bool) -> NoReturn:
    """Boot a guest and talk to it: one command a line, `help` lists them, `quit` or Ctrl-D ends."""
    from frame_harness.cli.console import talk  # noqa: PLC0415

    sys.exit(int(talk(frame_rs, machine, profile, init, gdb=gdb)))


@cli.command("exit-codes")
def exit_codes_command() -> None:
    """Print the table of exit status."""
    click.echo(table())


for command in (
    corpus_command,
    coverage_command,
    debug_command,
    explain_command,
    fuzz_command,
    judge_command,
    replay_command,
    mutate_command,
    rewind_command,
    scheduler_command,
    show_command,
    storm_command,
    worker_command,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; what goes wrong is one line, never a stack trace."""
    survive_closed_pipes()
    try:
        cli.main(standalone_mode=False)
        sys.exit(int(ExitCode.PASS))
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(int(ExitCode.INTERRUPTED))
    except click.ClickException as error:
        error.show()
        sys.exit(int(ExitCode.USAGE))
    except Exception as error:  # anything that is let through would end with the status of a FAIL
        from frame_harness.cli.endings import ending  # noqa: PLC0415  the commands start faster without it

        status, words = ending(error)
        click.echo(words, err=True)
        sys.exit(int(status))
