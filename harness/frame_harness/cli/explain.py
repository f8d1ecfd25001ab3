"""The command that explains clauses; what it needs is imported when it is called."""

from __future__ import annotations

import click


def _clause_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from frame_harness.frame_metadata.clauses import CLAUSES  # noqa: PLC0415  the other commands start faster
    from frame_harness.memory_core.clauses import CORE_CLAUSES  # noqa: PLC0415

    return [id_ for id_ in (*CLAUSES, *CORE_CLAUSES, "all") if id_.lower().startswith(incomplete.lower())]


@click.command("explain")
@click.argument("clauses", nargs=-1, required=True, shell_complete=_clause_ids)
@click.option("--json", "json_", is_flag=True, help="As JSON, for a program.")
def explain_command(clauses: tuple[str, ...], json_: bool) -> None:
    """Explain clauses: why each is there, what breaks without it, how to write it.

    CLAUSES are ids such as ALLOC-07 of a frame module, CORE-04 of a memory core; or `all`.
    """
    from frame_harness.cli.explained import explain  # noqa: PLC0415
    from frame_harness.report.terminal import console_for  # noqa: PLC0415

    explain(clauses, console_for(), json=json_)
