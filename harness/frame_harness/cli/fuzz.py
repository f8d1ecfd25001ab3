"""Runs campaigns from the command line, plays saved histories again."""

from __future__ import annotations

import secrets
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from frame_harness.base.disk import writing
from frame_harness.base.errors import UsageError
from frame_harness.base.program import program
from frame_harness.base.resources import build_dir
from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE
from frame_harness.contract.clauses import clause, in_contract_order
from frame_harness.histories.campaign import Found, Tally, campaign
from frame_harness.histories.history import Failure, play
from frame_harness.histories.lockstep import Lockstep, OwnHost
from frame_harness.histories.scripts import Script, parse
from frame_harness.histories.steps import Step
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.image.store import write_whole
from frame_harness.image.subject import Subject
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.machine.firmware import require_host

SEED_BITS = 32


@dataclass(frozen=True)
class FuzzRequest:
    """What to play histories on, for how long, and where the scripts go."""

    seconds: float
    commands: int | None = None
    """Stop after so many commands instead, however long they take."""
    seed: int | None = None
    frame_rs: Path | None = None
    machine: str = "q35"
    profile: str = "dev"
    folder: Path | None = None


def fuzz(request: FuzzRequest) -> ExitCode:
    """Play random histories for some time; every broken clause becomes a script.

    Raises:
        HarnessError: the subject does not build, the machine does not run, or no script can be saved.
    """
    seed = secrets.randbits(SEED_BITS) if request.seed is None else request.seed
    machine = load_machine(request.machine)
    require_host(machine)
    image = _image(request.frame_rs, request.profile)
    folder = request.folder or build_dir() / "scripts"
    with writing(folder, instead="name another folder: --scripts"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:  # better to know now than with the first finding
            trial.write(bytes(PAGE_SIZE))
    limit = f"{request.seconds:g} s" if request.commands is None else f"{request.commands} commands"
    click.echo(f"fuzz: {image.subject.name} on {machine.name}:{image.profile}, seed {seed}, {limit}")
    began = time.monotonic()

    def go_on(tally: Tally) -> bool:
        if request.commands is not None:
            return tally.commands < request.commands
        return time.monotonic() - began < request.seconds

    def say(found: Found) -> None:
        _save(found, folder, request)

    tally = campaign(OwnHost(image, machine), seed, go_on, say)
    _summary(tally, time.monotonic() - began)
    return ExitCode.FAIL if tally.found else ExitCode.PASS


def _image(frame_rs: Path | None, profile: str) -> Image:
    subject = Subject.from_file(frame_rs) if frame_rs else Subject.builtin()
    return build(subject, profile, say=lambda text: click.echo(text, err=True))


def _save(found: Found, folder: Path, request: FuzzRequest) -> None:
    script = found.script
    path = folder / f"{found.clause}-{script.profile}-{script.facts['subject'][-64:][:8]}.txt"
    click.echo(f"\n{script.clause}")
    click.echo(f"  {script.facts['seen']}")
    for line in script.lines:
        click.echo(f"    {line}")
    write_whole(path, script.text.encode())  # after it was shown: there may be no room
    words = [program(), "replay", str(path)]
    if request.frame_rs:
        words += ["--frame-rs", str(request.frame_rs)]
    click.echo(
        f"  shortened from {found.length} to {plural(len(script.lines), 'command')}: {shlex.join(words)}"
    )


def _summary(tally: Tally, seconds: float) -> None:
    names = ", ".join(in_contract_order(tally.found)) or "nothing"
    again = sum(tally.again.values())
    more = f", seen again {again} times" if again else ""
    click.echo(
        f"\nfuzz: found {names}{more}: {tally.histories} histories, {tally.commands} commands compared "
        f"with the model ({tally.commands / seconds:.0f} a second), seed {tally.seed}"
    )


# ---- playing again ----------------------------------------------------------------------------------------


def replay(file: Path, frame_rs: Path | None, machine: str | None, profile: str | None) -> ExitCode:
    """Play a script; returns whether all went as the model says.

    Raises:
        UsageError: the file is no script, or not one for a model.
    """
    try:
        script = parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "script", str(file), detail=str(error), next_step="name a file that fuzz has saved"
        ) from error
    definition = load_machine(machine or script.machine)
    require_host(definition)
    image = _image(frame_rs, profile or script.profile)
    with Lockstep(OwnHost(image, definition), script.boot_config) as lockstep:
        failure = play_script(lockstep, script)
    click.echo(f"replay: {file} on {image.subject.name}, {machine or script.machine}:{image.profile}")
    for line in failure.lines if failure else script.lines:
        click.echo(f"    {line}")
    if failure is None:
        click.echo("all as the model says" + (f"; {script.clause} holds" if script.clause else ""))
        return ExitCode.PASS
    click.echo(f"{failure.clause}: {clause(failure.clause).title}")
    click.echo(f"  {failure.difference.line}")
    return ExitCode.FAIL


def play_script(lockstep: Lockstep, script: Script) -> Failure | None:
    """Play the lines of a script as they stand."""
    steps = iter([Step(number, line.replace("{", "{{")) for number, line in enumerate(script.lines)])
    return play(lockstep, lambda: next(steps, None))
