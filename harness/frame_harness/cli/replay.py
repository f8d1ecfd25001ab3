"""Plays saved histories again."""

from __future__ import annotations

from pathlib import Path

import click

from frame_harness.frame_histories.boot_configs import require_same_memory
from frame_harness.frame_histories.commands import encode
from frame_harness.frame_histories.lockstep import Lockstep, OwnHost
from frame_harness.frame_histories.script_play import play_script
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.steering.folder import read


def replay(file: Path, frame_rs: Path | None, machine: str | None, profile: str | None) -> ExitCode:
    """Play a script; returns whether all went as the model says.

    Raises:
        UsageError: the file is no script, or not one for a model, or for that machine.
    """
    script = read(file)
    definition = load_machine(machine or script.machine)
    require_same_memory(script, definition, str(file))
    require_host(definition)
    image = build(
        frame_module(frame_rs), profile or script.profile, say=lambda text: click.echo(text, err=True)
    )
    with Lockstep(OwnHost(image, definition), script.boot_config) as lockstep:
        failure = play_script(lockstep, script, str(file))
        without_verdict = lockstep.without_verdict
    click.echo(f"replay: {file} on {image.subject.name}, {machine or script.machine}:{image.profile}")
    if script.subject and script.subject.sha256 != image.subject.sha256:
        click.echo(f"it was found on {script.subject.text}; --frame-rs names the module to judge")
    for command in (failure or script).commands:
        click.echo(f"    {encode(command)}")
    if failure is None and without_verdict:
        click.echo("not all was played: what the module did is allowed, and the model cannot follow it")
        return ExitCode.NO_TESTS
    if failure is None:
        click.echo("all as the model says" + (f"; {script.clause} holds" if script.clause else ""))
        return ExitCode.PASS
    click.echo(f"{failure.clause}: {CLAUSES[failure.clause].title}")
    click.echo(f"  {failure.difference.line}")
    return ExitCode.FAIL
