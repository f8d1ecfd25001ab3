"""The commands that offer a machine to campaigns."""

from __future__ import annotations

import click

ADDRESS = "tcp://HOST:PORT"


@click.command("worker")
@click.argument("scheduler", metavar=ADDRESS)
@click.option("--workers", type=click.IntRange(1), help="Tasks at the same time; default: one for each core.")
def worker_command(scheduler: str, workers: int | None) -> None:
    """Do tasks of campaigns on this machine, for the scheduler at that address, until Ctrl-C.

    It needs QEMU, and this package in the version of the command that runs the campaign.
    """
    from frame_harness.campaigns.serving import serve_workers  # noqa: PLC0415  the others start faster without

    serve_workers(scheduler, workers, lambda line: click.echo(line, err=True))


@click.command("scheduler")
@click.option("--host", default="", help="The address to listen at; default: all of this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=8786, show_default=True, help="0 for any.")
def scheduler_command(host: str, port: int) -> None:
    """Bring campaigns and workers of several machines together, until Ctrl-C.

    Who reaches it can run code here: use it in a network that you trust.
    """
    from frame_harness.campaigns.serving import serve_scheduler  # noqa: PLC0415  the others start faster without

    serve_scheduler(host, port, lambda line: click.echo(line, err=True))
