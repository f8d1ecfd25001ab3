"""The command line door."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from frame_harness.base.open_files import require_open_files
from frame_harness.base.profiles import BOTH
from frame_harness.base.streams import lost_output, patient_streams
from frame_harness.cli.check_command import check_command
from frame_harness.cli.debug_commands import debug_command, judge_command, rewind_command, show_command
from frame_harness.cli.fuzz_commands import corpus_command, fuzz_command, replay_command, storm_command
from frame_harness.cli.mutate_command import mutate_command
from frame_harness.cli.options import (
    FILE,
    TREE,
    TREE_VARIABLE,
    frame_rs_option,
    profile_option,
    refuse_with,
    to_stderr,
)
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
@click.argument("command", nargs=-1)
def help_command(command: tuple[str, ...]) -> None:
    """Show this list, or what a COMMAND does and takes."""
    context = click.get_current_context().parent
    if context is None:
        raise AssertionError("help is a command of the group")
    for name in command:
        group = context.command
        found = group.get_command(context, name) if isinstance(group, click.Group) else None
        if found is None:
            known = f" Known: {', '.join(sorted(group.commands))}" if isinstance(group, click.Group) else ""
            raise click.UsageError(f"No such command '{' '.join(command)}'.{known}")
        context = click.Context(found, info_name=name, parent=context)
    click.echo(context.command.get_help(context))


@cli.command("watch")
@frame_rs_option("to judge")
@click.option(
    "--kernel-src", type=TREE, envvar=TREE_VARIABLE, show_envvar=True,
    help="A kernel tree instead: judge its memory core, the real files together.",
)  # fmt: skip
@click.option("--machine", "machines", multiple=True, help="A machine's name or TOML file; repeat for more.")
@profile_option(BOTH, BOTH)
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
    from frame_harness.cli.check import CheckRequest  # noqa: PLC0415  the other commands start faster without it
    from frame_harness.cli.core import CoreRequest  # noqa: PLC0415
    from frame_harness.cli.watch import watch  # noqa: PLC0415

    if kernel_src is not None:
        refuse_with("--kernel-src", {"--frame-rs": frame_rs, "--machine": machines, "-n": workers})
        sys.exit(int(watch(CoreRequest(kernel_src, profile=profile, select=select, baseline=baseline))))
    request = CheckRequest(
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
@profile_option("dev")
@click.option("--markdown", is_flag=True, help="As Markdown, for a document.")
def matrix_command(frame_rs: Path | None, machine: str, profile: str, markdown: bool) -> NoReturn:
    """Corrupt a guest's memory field by field; show who notices: the kernel, an invariant, nobody."""
    from frame_harness.cli.matrix import show_matrix  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    sys.exit(int(show_matrix(frame_rs, machine, profile, console_for(), markdown=markdown)))


@cli.command("orderings")
@frame_rs_option("to read")
@profile_option("release")
@click.option("--kernel", is_flag=True, help="Compare with the whole kernel around it, too.")
def orderings_command(frame_rs: Path | None, profile: str, kernel: bool) -> NoReturn:
    """Show the memory orderings in a module's compiled code, function by function."""
    from frame_harness.cli.orderings import show_orderings  # noqa: PLC0415

    sys.exit(int(show_orderings(frame_rs, profile, kernel=kernel)))


@cli.command("console")
@frame_rs_option("in the guest")
@click.option("--machine", default="q35", show_default=True, help="A machine's name or TOML file.")
@profile_option("dev")
@click.option(
    "--init", type=click.Choice(["none", "array", "full"]), default="full", show_default=True,
    help="What the guest readies before its prompt: nothing, the slot table, the buddy allocator, too.",
)  # fmt: skip
@click.option("--gdb", is_flag=True, help="Let gdb find the guest; the command to start it is shown.")
def console_command(frame_rs: Path | None, machine: str, profile: str, init: str, gdb: bool) -> NoReturn:
    """Boot a guest and talk to it: one command a line, `help` lists them, `quit` or Ctrl-D ends."""
    from frame_harness.cli.console import talk  # noqa: PLC0415

    sys.exit(int(talk(frame_rs, machine, profile, init, gdb=gdb)))


def _clause_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from frame_harness.frame_metadata.clauses import CLAUSES  # noqa: PLC0415  the other commands start faster
    from frame_harness.memory_core.clauses import CORE_CLAUSES  # noqa: PLC0415

    return [id_ for id_ in (*CLAUSES, *CORE_CLAUSES, "all") if id_.lower().startswith(incomplete.lower())]


@cli.command("explain")
@click.argument("clauses", nargs=-1, required=True, shell_complete=_clause_ids)
@click.option("--json", "json_", is_flag=True, help="As JSON, for a program.")
def explain_command(clauses: tuple[str, ...], json_: bool) -> None:
    """Explain clauses: why each is there, what breaks without it, how to write it.

    CLAUSES are ids such as ALLOC-07 of a frame module, CORE-04 of a memory core; or `all`.
    """
    from frame_harness.cli.explained import explain  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    explain(clauses, console_for(), json=json_)


@cli.command("coverage")
@click.argument("report", type=FILE)
@click.argument("line", type=click.IntRange(1), required=False)
def coverage_command(report: Path, line: int | None) -> None:
    """Show the source with how many checks ran each line, from a JSON REPORT; or which checks ran LINE."""
    from frame_harness.cli.coverage import shown  # noqa: PLC0415

    click.echo("\n".join(shown(report, line)))


@cli.command("worker")
@click.argument("scheduler", metavar="tcp://HOST:PORT")
@click.option("--workers", type=click.IntRange(1), help="Tasks at the same time; default: one for each core.")
def worker_command(scheduler: str, workers: int | None) -> None:
    """Do tasks of campaigns on this machine, for the scheduler at that address, until Ctrl-C.

    It needs QEMU, and this package in the version of the command that runs the campaign.
    """
    from frame_harness.campaigns.serving import serve_workers  # noqa: PLC0415  the others start faster without

    serve_workers(scheduler, workers, to_stderr)


@cli.command("scheduler")
@click.option("--host", default="", help="The address to listen at; default: all of this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=8786, show_default=True, help="0 for any.")
def scheduler_command(host: str, port: int) -> None:
    """Bring campaigns and workers of several machines together, until Ctrl-C.

    Who reaches it can run code here: use it in a network that you trust.
    """
    from frame_harness.campaigns.serving import serve_scheduler  # noqa: PLC0415  the others start faster without

    serve_scheduler(host, port, to_stderr)


@cli.command("exit-codes")
def exit_codes_command() -> None:
    """Print the table of exit status."""
    click.echo(table())


for command in (
    check_command,
    corpus_command,
    debug_command,
    fuzz_command,
    judge_command,
    replay_command,
    mutate_command,
    rewind_command,
    show_command,
    storm_command,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; what goes wrong is one line, never a backtrace."""
    patient_streams()
    try:
        _run()
    except SystemExit as end:
        if not (lost := lost_output()):
            raise
        click.echo(f"error: standard output: {lost}\nnext: lead it to a file with room", err=True)
        # A verdict that is no PASS stands: reports may say it, too.
        sys.exit(end.code or int(ExitCode.ERROR))


def _run() -> NoReturn:
    try:
        require_open_files()
        cli.main(standalone_mode=False)
        sys.exit(int(ExitCode.PASS))
    except click.exceptions.Abort as abort:
        # To click an end of file is Ctrl-D, wherever it was met.
        if isinstance(abort.__cause__, EOFError):
            _end(abort.__cause__)
        click.echo("interrupted", err=True)
        sys.exit(int(ExitCode.INTERRUPTED))
    except click.ClickException as error:
        error.show()
        sys.exit(int(ExitCode.USAGE))
    except Exception as error:  # anything that is let through would end with the status of a FAIL
        _end(error)


def _end(error: Exception) -> NoReturn:
    from frame_harness.cli.endings import ending  # noqa: PLC0415  the commands start faster without it

    status, words = ending(error)
    click.echo(words, err=True)
    sys.exit(int(status))
