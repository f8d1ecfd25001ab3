"""Lets a person talk to a guest."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import click

from frame_harness.base.commands import speaker
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.cli.console_host import GUEST_S_OWN, NAMES, WATCH, HostCommands
from frame_harness.cli.console_text import answer_lines, failure_lines, with_host_commands
from frame_harness.cli.endings import ending
from frame_harness.debugging.gdb_command import GdbCommand
from frame_harness.debugging.sockets import socket_folder
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestFailure, NotInThisVersion
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import DEFAULT_MACHINE, Machine, load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.report.terminal import console_for

HINT = "`help` lists the commands, Tab completes them, Ctrl-C stops one, Ctrl-D or `quit` ends"
_QUIT = ("quit", "exit")
"""What ends the conversation; with a word behind it, `exit` is a command of the guest's."""


def talk(
    frame_rs: Path | None, machine: str | None, profile: str, init: str, *, gdb: bool = False
) -> ExitCode:
    """Boot, then send each line of standard input as a request, until its end or the guest's.

    Args:
        gdb: let a debugger find the guest; while it is attached, there are no limits.
    Returns:
        PASS when the guest was there to the end, else the status of how it ended.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are no text are refused with their line
    subject = frame_module(frame_rs)
    definition = load_machine(machine or DEFAULT_MACHINE)  # before a build, which takes longer to say no
    require_host(definition)
    image = build(subject, profile, say=speaker(sys.stderr))
    with ExitStack() as stack:
        folder = stack.enter_context(socket_folder()) if gdb else None
        conversation = stack.enter_context(_Talk(image, definition, init, folder))
        if sys.stdin.isatty():
            return conversation.with_a_person()
        return conversation.with_a_pipe(sys.stdin)


class _Talk:
    """A guest with what is said to it; after Ctrl-C in the middle of a request, a new guest."""

    def __init__(self, image: Image, machine: Machine, init: str, sockets: Path | None) -> None:
        self._image, self._machine, self._init, self._sockets = image, machine, init, sockets
        self._host, self._screen = HostCommands(), console_for()
        self._kernel = self._boot()
        self._slot = image.dtype(image.slot_type)
        self._exited = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self._exited:
            self._kernel.finish()
        self._kernel.guest.close()

    def _boot(self) -> Kernel:
        socket = None if self._sockets is None else self._sockets / "gdb"
        kernel = Kernel.boot(self._image, self._machine, init=self._init, debugger=socket)
        click.echo("\n".join(kernel.console_tail(1)))
        if socket is not None:
            click.echo(f"gdb finds it by\n  {GdbCommand.write(self._image, socket).shell()}", err=True)
        for told in self._host.changes(kernel):  # else the next command is said to have changed them
            click.echo(told)
        return kernel

    def with_a_pipe(self, lines: Iterable[str]) -> ExitCode:
        """Run each line as it comes; when the guest ends before, say which did not run."""
        left = filter(None, map(str.strip, lines))
        for line in left:
            if line in _QUIT:
                return ExitCode.PASS
            if (status := self._say(line)) is not None:
                break
        else:
            return ExitCode.PASS
        for number, line in enumerate(left):
            click.echo(f"  {line}" if number else f"not run, the guest is gone:\n  {line}", err=True)
        return status

    def with_a_person(self) -> ExitCode:
        """Read lines with a history, until Ctrl-D or the end of the guest."""
        subject = f"{self._image.subject.name} ({self._image.profile})"
        click.echo(f"a guest with {subject} on {self._machine.name}; {HINT}", err=True)
        self._complete()
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                return ExitCode.PASS
            except KeyboardInterrupt:  # leaves the line, as in a shell
                click.echo()
                continue
            if line in _QUIT:
                return ExitCode.PASS
            try:
                status = self._say(line) if line else None
            except KeyboardInterrupt:
                click.echo(f"\ninterrupted during `{line}`; this is a new guest:", err=True)
                self._kernel.guest.close()
                self._kernel = self._boot()
                continue
            if status is not None:
                return status

    def _say(self, line: str) -> ExitCode | None:
        """Do one command and show its answer; returns the session's status once the guest is gone."""
        status, name = self._do(line), line.split(maxsplit=1)[0]
        for told in self._host.changes(self._kernel) if name != WATCH else ():
            click.echo(told)
        return status

    def _do(self, line: str) -> ExitCode | None:
        request = GUEST_S_OWN.get(" ".join(line.split()), line)
        try:
            if request == line and line.split(maxsplit=1)[0] in NAMES:
                self._do_here(line)
                return None
            reply = self._kernel.request(request)
        except (UsageError, NotInThisVersion) as error:
            click.echo(str(error), err=True)
            return None
        except HarnessError as error:
            shown = failure_lines(error) if isinstance(error, GuestFailure) else [str(error)]
            click.echo("\n".join(shown))
            status, _ = ending(error)
            click.echo(f"the guest is gone: {status.name}, status {int(status)}", err=True)
            return status
        click.echo("\n".join(answer_lines(with_host_commands(reply), self._slot)))
        self._exited = line.split(maxsplit=1)[0] == "exit" and reply.status == "ok"
        return ExitCode.PASS if self._exited else None

    def _do_here(self, line: str) -> None:
        """Do a command of the host's; what it cannot read is no end of the guest."""
        try:
            for shown in self._host.run(self._kernel, line):
                self._screen.print(shown, soft_wrap=True)
        except HarnessError as error:
            if not self._kernel.alive:
                raise
            click.echo(str(error), err=True)

    def _complete(self) -> None:
        """Give `input` its history, and the guest's commands to the Tab key."""
        readline: Any = importlib.import_module("readline")
        # slot.peek <paddr> - the bytes of a slot
        commands = sorted({*NAMES, *(line.split()[0] for line in self._kernel.call("help").data)})

        def matching(begun: str, number: int) -> str | None:
            found = [f"{command} " for command in commands if command.startswith(begun)]
            return found[number] if number < len(found) else None

        readline.set_completer(matching)
        readline.set_completer_delims(" ;")
        readline.parse_and_bind("tab: complete")
