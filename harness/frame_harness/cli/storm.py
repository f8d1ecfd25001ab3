"""Lets storms run_storm for as long as one likes."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from frame_harness.base.commands import Step
from frame_harness.base.errors import UsageError
from frame_harness.base.program import program
from frame_harness.concurrency.smp import ProgramResult
from frame_harness.concurrency.storms import STORMS, Storm, run_storm
from frame_harness.contract.versions import lacking
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestTimeout, NotInThisVersion, SubjectPanic
from frame_harness.guest.kernel import Kernel
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import require_host

FIRST_SLICE_S = 0.25
SHORT_TRIES = 8
"""Most races show within a short slice in one guest of several: those come first."""
LONGEST_SLICE_S = 5.0
"""After each slice all of memory is judged, and the guest is a new one."""


@dataclass(frozen=True)
class StormRequest:
    """Which storms, on what, for how long in all."""

    seconds: float
    steps: int | None = None
    """Stop each storm after so many steps instead, however long they take."""
    names: Sequence[str] = ()
    cpus: int = 2
    frame_rs: Path | None = None
    machine: str = "q35"
    profile: str = "release"
    seed: int = 1
    again: bool = False
    """Repeat a storm that broke something until it does so once more."""

    def command(self, storm: Storm, seed: int) -> str:
        """What repeats a storm until its violation shows again, or says that it did not."""
        words = [program(), "storm", storm.name, "--again", "--cpus", str(self.cpus), "--seed", str(seed)]
        words += ["--machine", self.machine, "--profile", self.profile]
        return shlex.join([*words, *(["--frame-rs", str(self.frame_rs)] if self.frame_rs else [])])


@dataclass
class _Tally:
    storm: Storm
    steps: int = 0
    seconds: float = 0.0
    guests: int = 0
    broken: str = ""
    absent: str = ""
    """Why this version of the module cannot be asked."""

    @property
    def over(self) -> bool:
        """Whether no guest of it is to come."""
        return bool(self.broken or self.absent)

    def add(self, outcome: ProgramResult) -> None:
        """Count what a guest did, whether or not that broke something."""
        self.steps += outcome.steps
        self.seconds += outcome.seconds

    @property
    def line(self) -> str:
        names = ", ".join(self.storm.clauses)
        if self.absent:
            return f"{self.storm.name:20} {'did not rage':39}  {names}: {self.absent}"
        said = self.broken or "held"
        if not self.steps:
            return f"{self.storm.name:20} {'broke off before its steps were counted':39}  {names}: {said}"
        speed = self.steps / self.seconds / 1e6 if self.seconds else 0.0
        return f"{self.storm.name:20} {self.steps:15,} steps {speed:12.2f} M/s  {names}: {said}"


def storm(request: StormRequest) -> ExitCode:
    """Let storms run_storm by turns, print what was seen of each.

    Raises:
        UsageError: no such storm.
        HarnessError: the subject does not build, or the machine does not run.
    """
    for name in request.names:
        if name not in STORMS:
            raise UsageError("storm", name, detail="no such storm", next_step=f"known: {names_of_storms()}")
    subject = frame_module(request.frame_rs)
    machine = load_machine(request.machine)
    require_host(machine)
    image = build(subject, request.profile, say=_say)
    tallies = [_Tally(STORMS[name], absent=_absent(STORMS[name], image)) for name in request.names or STORMS]
    until = time.monotonic() + request.seconds

    def goes_on(tally: _Tally) -> bool:
        if request.steps is not None:
            return not tally.over and tally.steps < request.steps
        return not tally.over and (time.monotonic() < until or not tally.guests)

    with Step(f"storms on {subject.name}", _say) as step:
        # What broke something is played again as it was; else each guest gets random numbers of its own.
        for seed in itertools.repeat(request.seed) if request.again else itertools.count(request.seed):
            for tally in filter(goes_on, tallies):
                step.at(tally.storm.name)
                _turn(tally, image, machine, request, seed)
            if not any(map(goes_on, tallies)):
                break
    for tally in tallies:
        click.echo(tally.line)
    return _ending(tallies, request)


def names_of_storms() -> str:
    """The names of all storms as a shell takes them."""
    return ", ".join(map(shlex.quote, STORMS))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _absent(storm: Storm, image: Image) -> str:
    """Say for want of which names a storm's clauses are not in a version; nothing where they are."""
    lacks = lacking(image.subject.contract.versions.of_clauses(storm.clauses), image.lacks)
    return f"not in this version, which lacks {', '.join(lacks)}" if lacks else ""


def _ending(tallies: Sequence[_Tally], request: StormRequest) -> ExitCode:
    if any(tally.broken for tally in tallies):
        return ExitCode.FAIL
    if all(tally.absent for tally in tallies):
        return ExitCode.UNJUDGEABLE
    if not request.again:
        return ExitCode.PASS
    guests = sum(tally.guests for tally in tallies)
    click.echo(
        f"not shown: nothing broke in {guests} guests. A race depends on chance: a longer --time shows it "
        "more likely; that it did not show does not mean that it is gone"
    )
    return ExitCode.NOT_SHOWN


def _slice_s(tally: _Tally, request: StormRequest) -> float:
    if request.steps is None:
        longest_s = FIRST_SLICE_S if request.again and tally.guests < SHORT_TRIES else LONGEST_SLICE_S
        return min(longest_s, request.seconds / len(request.names or STORMS) / 2)
    if not tally.steps:
        return FIRST_SLICE_S
    left = request.steps - tally.steps
    return min(LONGEST_SLICE_S, max(FIRST_SLICE_S, left * tally.seconds / tally.steps))


def _turn(tally: _Tally, image: Image, machine: Machine, request: StormRequest, seed: int) -> None:
    seconds = _slice_s(tally, request)
    tally.guests += 1
    with Kernel.boot(image, machine, cpus=request.cpus, seed=seed) as kernel:
        try:
            run_storm(tally.storm, kernel, seconds=seconds, seed=seed, seen=tally.add)
        except NotInThisVersion as error:
            tally.absent = f"not in this version, which lacks {', '.join(error.lacks)}"
        except (ClauseViolated, SubjectPanic, GuestCrashed, GuestTimeout) as error:
            tally.broken = f"BROKEN, {str(error).splitlines()[0]}"
            broken = error.breaks if isinstance(error, OtherClauseViolated) else tally.storm.clauses
            for id_ in broken:
                click.echo(f"{id_}: {FRAME_METADATA.clauses[id_].title}")
            click.echo(f"  {error}\n  see it again: {request.command(tally.storm, seed)}")
