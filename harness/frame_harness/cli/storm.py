"""Runs storms for as long as one likes."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from frame_harness.base.errors import UsageError
from frame_harness.base.program import program
from frame_harness.base.text import plural, rate_words
from frame_harness.campaigns.engine import DoneTask, Lost, Plan, Running, Settings, campaign
from frame_harness.campaigns.images import SentImage
from frame_harness.cli.campaign_options import IN_THE_COMMAND, NO_CAMPAIGN, CampaignOptions
from frame_harness.cli.options import to_stderr
from frame_harness.cli.storm_turns import StormTurn, Turned, is_broken, play_turn
from frame_harness.contract.versions import lacking
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_storms.table import STORMS, FrameStorm
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.machine.identity import identity_of

FIRST_SLICE_S = 0.25
SHORT_TRIES = 8
"""Most races show within a short slice in one guest of several: those come first."""
LONGEST_SLICE_S = 5.0
"""After each slice all of memory is judged, and the guest is a new one."""
TURN_LIMIT_S = 300.0
"""Of CPU time, for a guest that the storm's own limits did not end."""


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
    where: CampaignOptions = NO_CAMPAIGN

    def command(self, storm: FrameStorm, seed: int) -> str:
        """What repeats a storm until its violation shows again, or says that it did not."""
        words = [program(), "storm", storm.name, "--again", "--cpus", str(self.cpus), "--seed", str(seed)]
        words += ["--machine", self.machine, "--profile", self.profile]
        return shlex.join([*words, *(["--frame-rs", str(self.frame_rs)] if self.frame_rs else [])])


@dataclass
class _Tally:
    storm: FrameStorm
    steps: int = 0
    seconds: float = 0.0
    guests: int = 0
    lost: int = 0
    """Guests that came to no end."""
    planned_s: float = 0.0
    broken: str = ""
    absent: str = ""
    """Why this version of the module cannot be asked."""

    @property
    def over(self) -> bool:
        """Whether no guest of it is to come."""
        return bool(self.broken or self.absent)

    @property
    def line(self) -> str:
        names = ", ".join(self.storm.clauses)
        if self.absent:
            return f"{self.storm.name:20} {'did not run':39}  {names}: {self.absent}"
        said = self.broken or (f"not judged, {plural(self.lost, 'guest')} lost" if self.lost else "held")
        if not self.steps:
            return f"{self.storm.name:20} {'broke off before its steps were counted':39}  {names}: {said}"
        rate = rate_words(self.steps / self.seconds if self.seconds else 0.0)
        return f"{self.storm.name:20} {self.steps:15,} steps {rate:>17}  {names}: {said}"


def storm(request: StormRequest) -> ExitCode:
    """Run storms by turns, print what was seen of each.

    Raises:
        UsageError: no such storm.
        HarnessError: the subject does not build, or the machine does not run.
    """
    for name in request.names:
        if name not in STORMS:
            raise UsageError("storm", name, detail="no such storm", next_step=f"known: {names_of_storms()}")
    subject = frame_module(request.frame_rs)
    machine = load_machine(request.machine)
    if not request.where.scheduler:
        require_host(machine)
    image = build(subject, request.profile, say=to_stderr)
    plan = Plan(
        "storm", play_turn, Turned, _identity(request, image, machine), (image.elf,), TURN_LIMIT_S,
        is_broken, open_ended=True,
    )  # fmt: skip
    settings = request.where.settings("storm", to_stderr) if request.where.asked else _alone()
    tallies = [_Tally(STORMS[name], absent=_absent(STORMS[name], image)) for name in request.names or STORMS]
    turns = _Turns(request, tallies, image, machine, by_clock=not request.where.asked)
    with campaign(plan, settings) as running:
        turns.submit(running)
        for done in running.results():
            turns.take(done)
            turns.submit(running)
    for tally in tallies:
        click.echo(tally.line)
    return _ending(tallies, request)


def _alone() -> Settings:
    return Settings(IN_THE_COMMAND, None, None, False, to_stderr)


def _identity(request: StormRequest, image: Image, machine: Machine) -> str:
    """What results depend on. The seconds are not among it: a campaign may be made longer."""
    names = sorted({*request.names} or STORMS)
    what = image.sha256, identity_of(machine), request.cpus, request.again, request.seed, names
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


class _Turns:
    """Chooses turns one by one, each of the storm that had fewest; counts what became of them."""

    def __init__(
        self,
        request: StormRequest,
        tallies: Sequence[_Tally],
        image: Image,
        machine: Machine,
        *,
        by_clock: bool,
    ) -> None:
        """Begin nothing yet.

        Args:
            by_clock: the seconds of the request are the user's; else those of all guests together.
        """
        self._request, self._tallies, self._by_clock = request, tallies, by_clock
        self._image, self._machine = SentImage.of(image), machine
        self._until = time.monotonic() + request.seconds

    def submit(self, running: Running[StormTurn, Turned]) -> None:
        """Begin as many as can be done now."""
        while running.room > 0:
            left = [tally for tally in self._tallies if self._goes_on(tally)]
            if not left:
                return
            tally = min(left, key=lambda one: one.guests)
            # What broke something is played again as it was; else each guest gets random numbers of its own.
            seed = self._request.seed + (0 if self._request.again else tally.guests)
            turn = StormTurn(
                storm=tally.storm.name, seconds=_slice_s(tally, self._request), seed=seed,
                cpus=self._request.cpus, image=self._image, machine=self._machine,
            )  # fmt: skip
            running.submit(f"{tally.storm.name}/{self._request.seed + tally.guests}", turn)
            tally.guests += 1
            tally.planned_s += turn.seconds

    def _goes_on(self, tally: _Tally) -> bool:
        request = self._request
        if tally.over or not tally.guests:
            return not tally.over
        if request.steps is not None:
            return tally.steps < request.steps and not tally.lost  # one lost after the other has no end
        if self._by_clock:
            return time.monotonic() < self._until
        return tally.planned_s < request.seconds / len(self._tallies)

    def take(self, done: DoneTask[Turned]) -> None:
        """Count what a guest did; show what it broke."""
        if isinstance(done.result, Lost):
            name, seed = done.key.rsplit("/", 1)
            click.echo(f"{name}, seed {seed}: lost: {done.result.reason}, {done.result.detail}")
            self._of(name).lost += 1
            return
        turned = done.result
        tally = self._of(turned.storm)
        tally.steps += turned.steps
        tally.seconds += turned.seconds
        if turned.lacks:
            tally.absent = f"not in this version, which lacks {', '.join(turned.lacks)}"
        if turned.broken:
            tally.broken = tally.broken or f"BROKEN, {turned.broken.splitlines()[0]}"
            for id_ in turned.clauses:
                click.echo(f"{id_}: {FRAME_METADATA.clauses[id_].title}")
            again = self._request.command(tally.storm, turned.seed)
            click.echo(f"  {turned.broken}\n  see it again: {again}")

    def _of(self, name: str) -> _Tally:
        return next(one for one in self._tallies if one.storm.name == name)


def names_of_storms() -> str:
    """The names of all storms as a shell takes them."""
    return ", ".join(map(shlex.quote, STORMS))


def _absent(storm: FrameStorm, image: Image) -> str:
    """Say for want of which names a storm's clauses are not in a version; nothing where they are."""
    lacks = lacking(image.subject.contract.versions.of_clauses(storm.clauses), image.lacks)
    return f"not in this version, which lacks {', '.join(lacks)}" if lacks else ""


def _ending(tallies: Sequence[_Tally], request: StormRequest) -> ExitCode:
    if any(tally.broken for tally in tallies):
        return ExitCode.FAIL
    if any(tally.lost for tally in tallies):
        return ExitCode.ERROR
    if all(tally.absent for tally in tallies):
        return ExitCode.UNJUDGEABLE
    if not request.again:
        return ExitCode.PASS
    guests = sum(tally.guests for tally in tallies)
    more = "a longer --time shows" if request.steps is None else "more --steps show"
    click.echo(
        f"not shown: nothing broke in {plural(guests, 'guest')}. A race depends on chance: {more} it more "
        "likely; that it did not show does not mean that it is gone"
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
