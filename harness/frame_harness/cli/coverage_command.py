"""The command that shows coverage."""

from __future__ import annotations

from pathlib import Path

import click

from frame_harness.cli.options import FILE


@click.command("coverage")
@click.argument("report", type=FILE)
@click.argument("line", type=click.IntRange(1), required=False)
def coverage_command(report: Path, line: int | None) -> None:
    """Show the source with how many checks ran each line, from a JSON REPORT; or which checks ran LINE."""
    from frame_harness.cli.coverage import shown  # noqa: PLC0415

    click.echo("\n".join(shown(report, line)))
