"""Runs campaigns from the command line, plays saved histories again."""

from __future__ import annotations

import secrets
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from frame_harness.base.commands import Step
from frame_harness.base.disk import writing
from frame_harness.base.errors import UsageError
from frame_harness.base.program import program
from frame_harness.base.resources import build_dir
from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.model import ModelError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.histories.campaign import Found, Tally, campaign
from frame_harness.histories.commands import encode
from frame_harness.histories.history import Failure, play
from frame_harness.histories.lockstep import LineRefused, Lockstep, OwnHost
from frame_harness.histories.scripts import NEXT_STEP, Script, parse, unplayable
from frame_harness.histories.steps import Step as ScriptStep
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.image.store import write_whole
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
        return not tally.histories or time.monotonic() - began < request.seconds

    def say(found: Found) -> None:
        _save(found, folder, request)

    with Step("fuzz", _say) as step:

        def counted(tally: Tally) -> bool:
            step.at(f"{plural(tally.commands, 'command')}, {len(tally.found)} found")
            return go_on(tally)

        tally = campaign(OwnHost(image, machine), seed, counted, say)
    _summary(tally, time.monotonic() - began)
    return ExitCode.FAIL if tally.found else ExitCode.PASS


def _image(frame_rs: Path | None, profile: str) -> Image:
    subject = frame_module(frame_rs)
    return build(subject, profile, say=_say)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _save(found: Found, folder: Path, request: FuzzRequest) -> None:
    script = found.script
    path = folder / script.file_name
    click.echo(f"\n{script.title}")
    click.echo(f"  {script.seen}")
    for line in script.lines:
        click.echo(f"    {line}")
    write_whole(path, script.text.encode())  # after it was shown: there may be no room
    words = [program(), "replay", str(path)]
    if request.frame_rs:
        words += ["--frame-rs", str(request.frame_rs)]
    click.echo(
        f"  shortened from {found.length} to {plural(len(script.commands), 'command')}: {shlex.join(words)}"
    )


def _summary(tally: Tally, seconds: float) -> None:
    names = ", ".join(CLAUSES.in_order(tally.found)) or "nothing"
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
    except OSError as error:
        detail = f"cannot be read: {error.strerror}"
        raise UsageError("script", str(file), detail=detail, next_step=NEXT_STEP) from error
    except UnicodeDecodeError as error:
        raise UsageError("script", str(file), detail="it is no text", next_step=NEXT_STEP) from error
    definition = load_machine(machine or script.machine)
    require_host(definition)
    image = _image(frame_rs, profile or script.profile)
    with Lockstep(OwnHost(image, definition), script.boot_config) as lockstep:
        failure = play_script(lockstep, script, str(file))
        parted = lockstep.parted
    click.echo(f"replay: {file} on {image.subject.name}, {machine or script.machine}:{image.profile}")
    if script.subject and script.subject.sha256 != image.subject.sha256:
        click.echo(f"it was found on {script.subject.text}; --frame-rs names the module to judge")
    for command in (failure or script).commands:
        click.echo(f"    {encode(command)}")
    if failure is None and parted:
        click.echo("not all was played: what the module did is allowed, and the model cannot follow it")
        return ExitCode.NO_TESTS
    if failure is None:
        click.echo("all as the model says" + (f"; {script.clause} holds" if script.clause else ""))
        return ExitCode.PASS
    click.echo(f"{failure.clause}: {CLAUSES[failure.clause].title}")
    click.echo(f"  {failure.difference.line}")
    return ExitCode.FAIL


def play_script(lockstep: Lockstep, script: Script, where: str = "script") -> Failure | None:
    """Play the commands of a script as they stand.

    Raises:
        UsageError: names the line that nobody can play.
    """
    left = iter([ScriptStep(n, each.op, each.operands) for n, each in enumerate(script.commands)])
    last = 0

    def choose() -> ScriptStep | None:
        nonlocal last
        step = next(left, None)
        last = step.number if step else last
        return step

    try:
        return play(lockstep, choose)
    except ModelError as error:
        raise unplayable(where, script.lines[last], error.summary) from error
    except LineRefused as error:
        raise unplayable(where, script.lines[last], error.detail) from error
    except LookupError as error:
        detail = "it leads to something that the model does not know"
        raise unplayable(where, script.lines[last], detail) from error
