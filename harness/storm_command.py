"""Lets storms rage for as long as one likes."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from harness.checks import ClauseViolated
from harness.contract.clauses import clause
from harness.errors import UsageError
from harness.image.build import build
from harness.image.image import Image
from harness.image.subject import Subject
from harness.judge.exit_codes import ExitCode
from harness.kernel import Kernel
from harness.kernel_errors import GuestCrashed, GuestTimeout, SubjectPanic
from harness.machine.definition import Machine, load_machine
from harness.program import program
from harness.storms import STORMS, Storm, rage

FIRST_SLICE_S = 0.25
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

    def command(self, storm: Storm, seed: int) -> str:
        """What shows a violation again, given some time."""
        words = [program(), "storm", storm.name, "--cpus", str(self.cpus), "--seed", str(seed)]
        words += ["--machine", self.machine, "--profile", self.profile]
        return shlex.join([*words, *(["--frame-rs", str(self.frame_rs)] if self.frame_rs else [])])


@dataclass
class _Tally:
    storm: Storm
    steps: int = 0
    seconds: float = 0.0
    broken: str = field(default="")

    @property
    def line(self) -> str:
        speed = self.steps / self.seconds / 1e6 if self.seconds else 0.0
        names = ", ".join(self.storm.clauses)
        said = self.broken or "held"
        return f"{self.storm.name:20} {self.steps / 1e6:10.2f} M steps {speed:7.2f} M/s  {names}: {said}"


def storm(request: StormRequest) -> ExitCode:
    """Let storms rage by turns, print what was seen of each.

    Raises:
        UsageError: no such storm.
        HarnessError: the subject does not build, or the machine does not run.
    """
    for name in request.names:
        if name not in STORMS:
            raise UsageError("storm", name, detail="no such storm", next_step=f"known: {', '.join(STORMS)}")
    subject = Subject.from_file(request.frame_rs) if request.frame_rs else Subject.builtin()
    image = build(subject, request.profile, say=lambda text: click.echo(text, err=True))
    machine = load_machine(request.machine)
    tallies = [_Tally(STORMS[name]) for name in request.names or STORMS]
    until = time.monotonic() + request.seconds

    def goes_on(tally: _Tally) -> bool:
        if request.steps is not None:
            return not tally.broken and tally.steps < request.steps
        return not tally.broken and (time.monotonic() < until or not tally.seconds)

    for seed in itertools.count(request.seed):
        for tally in filter(goes_on, tallies):
            _turn(tally, image, machine, request, seed)
        if not any(map(goes_on, tallies)):
            break
    for tally in tallies:
        click.echo(tally.line)
    return ExitCode.FAIL if any(tally.broken for tally in tallies) else ExitCode.PASS


def _slice_s(tally: _Tally, request: StormRequest) -> float:
    if request.steps is None:
        return min(LONGEST_SLICE_S, request.seconds / len(request.names or STORMS) / 2)
    if not tally.steps:
        return FIRST_SLICE_S
    left = request.steps - tally.steps
    return min(LONGEST_SLICE_S, max(FIRST_SLICE_S, left * tally.seconds / tally.steps))


def _turn(tally: _Tally, image: Image, machine: Machine, request: StormRequest, seed: int) -> None:
    seconds = _slice_s(tally, request)
    with Kernel.boot(image, machine, cpus=request.cpus, seed=seed) as kernel:
        try:
            outcome = rage(tally.storm, kernel, seconds=seconds, seed=seed)
        except (ClauseViolated, SubjectPanic, GuestCrashed, GuestTimeout) as error:
            tally.broken = f"BROKEN, {str(error).splitlines()[0]}"
            for id_ in tally.storm.clauses:
                click.echo(f"{id_}: {clause(id_).title}")
            click.echo(f"  {error}\n  see it again: {request.command(tally.storm, seed)}")
        else:
            tally.steps += outcome.steps
            tally.seconds += outcome.seconds
