"""Runs campaigns of histories from the command line."""

from __future__ import annotations

import secrets
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from frame_harness.base.commands import SlowStep
from frame_harness.base.disk import make_folder, writing
from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import STEERING
from frame_harness.base.program import program
from frame_harness.base.resources import build_dir
from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE
from frame_harness.campaigns.journal import seed_of
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions
from frame_harness.cli.corpus import SavedCorpus, minimized_in_words
from frame_harness.cli.fuzz_rounds import ManyRounds, played_in_rounds
from frame_harness.cli.fuzzed import Fuzzed
from frame_harness.cli.options import to_stderr
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_histories.scripts import Script
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.errors import CompileError, WrongBuild
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from frame_harness.machine.firmware import require_host
from frame_harness.steering.campaign import Campaign, FoundCause, SteeringTally
from frame_harness.steering.folder import save_shorter
from frame_harness.steering.player import Player

SEED_BITS = 32
USUAL_CORPUS = Path("corpus")


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
    corpus: Path | None = None
    """None for the folder `corpus` where it is there, else for none."""
    blind: bool = False
    """Play random histories alone."""
    minimize: bool = False
    """Leave behind the fewest histories of the corpus that reach what all do."""
    where: CampaignOptions = NO_CAMPAIGN

    @property
    def corpus_folder(self) -> Path | None:
        """Where histories are kept from run to run."""
        return self.corpus or (USUAL_CORPUS if USUAL_CORPUS.is_dir() else None)


def seed_for(request: FuzzRequest) -> int:
    """The seed that was asked for, else that of the campaign to go on with, else a new one."""
    kept = seed_of(request.where.resume) if request.where.resume is not None else None
    return next((one for one in (request.seed, kept) if one is not None), secrets.randbits(SEED_BITS))


def fuzz(request: FuzzRequest) -> ExitCode:
    """Play histories for some time; every cause that is found becomes a script.

    Raises:
        HarnessError: the subject does not build, the machine does not run, or no script can be saved.
    """
    if request.minimize and request.corpus_folder is None:
        raise UsageError("--minimize", detail="there is no corpus", next_step="name its folder: --corpus DIR")
    seed = seed_for(request)
    machine = load_machine(request.machine)
    require_host(machine)
    subject = frame_module(request.frame_rs)
    image = build(subject, request.profile, say=to_stderr)
    counting = None if request.blind else _counting(image)
    folder = request.folder or build_dir() / "scripts"
    _require_room(folder, "--scripts")
    if request.corpus_folder is not None:
        _require_room(request.corpus_folder, "--corpus")
    limit = f"{request.seconds:g} s" if request.commands is None else f"{request.commands} commands"
    click.echo(f"fuzz: {image.subject.name} on {machine.name}:{image.profile}, seed {seed}, {limit}")
    began = time.monotonic()
    with Player(OwnHost(image, machine), None if counting is None else OwnHost(counting, machine)) as player:
        saved = SavedCorpus(request.corpus_folder, player)
        campaign = Campaign(player, seed, kept=saved.keep)
        say = _Saving(folder, request, saved)
        saved.play_all(campaign, say, to_stderr)
        if request.where.asked:
            asked = ManyRounds(seed, request.seconds, request.commands, request.where)
            fuzzed = played_in_rounds(asked, campaign, saved, say.script, to_stderr)
        else:
            fuzzed = _played_here(request, campaign, saved, say, seed, began)
        fuzzed.say()
        if counting is not None and not request.where.asked:
            saved.summary(campaign.corpus)
        _minimize(request, player)
    return fuzzed.status


def _played_here(
    request: FuzzRequest, campaign: Campaign, saved: SavedCorpus, say: _Saving, seed: int, began: float
) -> Fuzzed:
    """Play one history after another in this process."""
    with SlowStep("fuzz", to_stderr) as step:

        def go_on(tally: SteeringTally) -> bool:
            step.at(_how_far(tally, len(campaign.corpus)))
            if request.commands is not None:
                return tally.commands < request.commands
            return not tally.histories or time.monotonic() - began < request.seconds

        tally = campaign.run(go_on, say)
    saved.forget_surpassed(campaign.corpus)
    return Fuzzed(
        seed, frozenset(tally.clauses), len(tally.found), tally.histories, tally.commands,
        time.monotonic() - began, again=sum(tally.again.values()), cut_off=tally.cut_off,
        unconfirmed=tally.unconfirmed_words,
    )  # fmt: skip


def _minimize(request: FuzzRequest, player: Player) -> None:
    if request.minimize and (folder := request.corpus_folder):
        click.echo(minimized_in_words(folder, player, to_stderr))


def _counting(image: Image) -> Image | None:
    """The same module with its branches counted; None where this compiler cannot do that."""
    try:
        return build(image.subject, STEERING, say=to_stderr)
    except (CompileError, WrongBuild) as error:
        to_stderr(f"no branches are counted, so all histories are random: {error.summary}")
        return None


def _require_room(folder: Path, option: str) -> None:
    instead = f"name another folder: {option}"
    make_folder(folder, instead)
    # Better to know now than with the first finding.
    with writing(folder, instead), tempfile.TemporaryFile(dir=folder) as trial:
        trial.write(bytes(PAGE_SIZE))


def _how_far(tally: SteeringTally, kept: int) -> str:
    return f"{plural(tally.commands, 'command')}, {kept} kept, {len(tally.found)} found"


# ---- findings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Saving:
    """Shows each finding and saves it."""

    folder: Path
    request: FuzzRequest
    corpus: SavedCorpus

    def __call__(self, found: FoundCause) -> None:
        self.script(found.script, found.length)

    def script(self, script: Script, length: int) -> None:
        """Save one that was made of a history of so many commands."""
        _save(script, length, self.folder, self.request)
        self.corpus.save(script)


def _save(script: Script, length: int, folder: Path, request: FuzzRequest) -> None:
    path = folder / script.file_name
    click.echo(f"\n{script.title}")
    click.echo(f"  {script.seen}")
    click.echo(f"  {script.cause}")
    for line in script.lines:
        click.echo(f"    {line}")
    save_shorter(path, script)  # after it was shown: there may be no room
    words = [program(), "replay", str(path)]
    if request.frame_rs:
        words += ["--frame-rs", str(request.frame_rs)]
    click.echo(f"  shortened from {length} to {plural(len(script.commands), 'command')}: {shlex.join(words)}")
