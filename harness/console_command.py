"""Lets a person talk to a guest."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from harness.errors import UsageError
from harness.image.build import build
from harness.image.subject import Subject
from harness.kernel import Kernel
from harness.kernel_errors import GuestFailure, NotInThisVersion
from harness.machine.definition import DEFAULT_MACHINE, load_machine
from harness.progress import speaker


def talk(frame_rs: Path | None, machine: str | None, profile: str, init: str) -> None:
    """Boot, then send each line of standard input as a request, until its end or the guest's."""
    subject = Subject.from_file(frame_rs) if frame_rs else Subject.builtin()
    definition = load_machine(machine or DEFAULT_MACHINE)  # before a build, which takes longer to say no
    image = build(subject, profile, say=speaker(sys.stderr))
    with Kernel.boot(image, definition, init=init) as kernel:
        click.echo("\n".join(kernel.console_tail(1)))
        click.echo("a guest at its prompt; `help` lists the commands, Ctrl-D ends", err=True)
        for line in _lines():
            try:
                reply = kernel.request(line)
            except (UsageError, NotInThisVersion) as error:
                click.echo(str(error), err=True)
                continue
            except GuestFailure as failure:
                click.echo("\n".join(failure.console_tail))
                click.echo(f"{failure.summary}\n" + "\n".join(f"  {entry}" for entry in failure.backtrace))
                return
            click.echo("\n".join([*reply.data, reply.shown, *(f"  {entry}" for entry in reply.backtrace)]))


def _lines() -> Iterator[str]:
    """Lines from a terminal, edited with a history, or from a pipe; blank ones are left out."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    importlib.import_module("readline")  # gives `input` its history
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return
        if line:
            yield line
