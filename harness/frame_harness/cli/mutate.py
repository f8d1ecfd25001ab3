"""Says which bugs in a subject nobody would notice: makes mutants of it and judges each."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from frame_harness.base import report_files
from frame_harness.base.digests import sha256_of
from frame_harness.base.disk import make_folder, write_whole
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.program import program
from frame_harness.base.resources import build_dir
from frame_harness.base.text import plural
from frame_harness.campaigns.engine import require_cluster
from frame_harness.campaigns.files import known
from frame_harness.campaigns.journal import require_new_or
from frame_harness.campaigns.plan import Settings
from frame_harness.cli.campaign_options import NO_CAMPAIGN, CampaignOptions
from frame_harness.cli.mutate_grounds import CoreGround, FrameGround
from frame_harness.cli.options import to_stderr
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.mutation.generate import mutants_of
from frame_harness.mutation.mutants import Mutant, applied
from frame_harness.mutation_testing import explained, score
from frame_harness.mutation_testing.campaign import Choice, Course, Ground
from frame_harness.mutation_testing.explained import SurvivorExplanation
from frame_harness.mutation_testing.page import dumps as page
from frame_harness.mutation_testing.records import Fate, MutantReport, MutationReport, Share
from frame_harness.mutation_testing.terminal import IDLE, print_mutant, print_report
from frame_harness.report.progress import Progress
from frame_harness.report.terminal import console_for

NAME: Final = "mutate"
"""Of the campaign."""


@dataclass(frozen=True)
class MutateRequest:
    """What to make mutants of, which, where they are judged, where reports go.

    Attributes:
        least: the score in percent from which on the campaign passes; None for 100, or for any where each
            survivor has a reason.
        explained: a file of reasons; then each survivor needs one.
        every_run: judge mutants with a reason in every run, as all others.
        command: what names the subject on the command line, to judge one mutant again.
    """

    ground: FrameGround | CoreGround
    command: str
    choice: Choice = field(default_factory=Choice)
    least: float | None = None
    where: CampaignOptions = NO_CAMPAIGN
    json: Path | None = None
    html: Path | None = None
    explained: Path | None = None
    every_run: bool = False

    def reasons(self) -> dict[str, SurvivorExplanation]:
        """Why mutants may survive, by their keys; raises `UsageError` where the file says something else."""
        return explained.load(self.explained) if self.explained else {}


def mutate(request: MutateRequest) -> ExitCode:
    """Judge mutants of a subject, report which survive, return the process exit status.

    Raises:
        HarnessError: the request makes no sense, or the subject itself cannot be judged.
    """
    read = (request.explained, *request.ground.read)
    report_files.make_way((request.json, request.html), read, request.where.own_files)
    reasons, mutants = request.reasons(), mutants_of(request.ground.texts())
    chosen = request.choice.of(mutants)
    settings = request.where.settings(NAME, to_stderr)
    require_cluster(settings)
    console = console_for()
    with Progress(console) as progress:
        ground = request.ground.made(progress, mutants, lambda identity: _require_folder(settings, identity))
    _require_made_of(mutants, ground)
    click.echo(f"mutants: {len(chosen)} of {len(mutants)}", err=True)
    course = Course(ground, chosen, mutants, request.choice, _tell, reasons, request.every_run)
    try:
        course.run(settings)
    finally:
        report = course.report()
        if course.reports or course.interrupted:  # else it did not begin
            _publish(report, ground, request, console)
    if course.interrupted:
        click.echo(f"interrupted; go on with --resume {settings.folder}", err=True)
        return ExitCode.INTERRUPTED
    if request.explained and report.unexplained and not report.total.errors:
        return ExitCode.FAIL
    return status(report.total, request.least, explained=request.explained is not None)


def _require_folder(settings: Settings, identity: str) -> None:
    """Refuse a folder of results before the subject is judged, which takes as long as a `check`."""
    if settings.folder is not None:
        require_new_or(settings.folder, NAME, identity, resume=settings.resume)
        make_folder(settings.folder, instead="name another folder with --out")


def _require_made_of(mutants: Sequence[Mutant], ground: Ground) -> None:
    """Refuse a subject that was edited since its mutants were made."""
    for one in mutants:
        text = ground.texts.get(one.file, b"")
        if text[one.start : one.end] != one.before.encode():
            raise HarnessError(
                "mutants", one.file, expected="the text that mutants were made of", actual="another one",
                next_step="run it again",
            )  # fmt: skip


def status(total: Share, least: float | None, *, explained: bool = False) -> ExitCode:
    """Return the exit status of a campaign: an error outranks a score that is too low."""
    if total.errors:
        return ExitCode.ERROR
    if total.score is None:
        return ExitCode.NO_TESTS
    if least is None:
        least = 0.0 if explained else 100.0
    # Of the counts: as a fraction, 57 of 100 times 100 is less than 57.
    return ExitCode.PASS if 100 * total.killed >= least * (total.killed + total.survived) else ExitCode.FAIL


def _tell(one: MutantReport) -> None:
    """Say at once what a person may want to look at while the campaign goes on."""
    if one.judged.fate in (Fate.SURVIVED, Fate.ERROR):
        mutant = one.mutant
        click.echo(f"{one.judged.fate}: {mutant.key} {mutant.operator} {mutant.function}", err=True)


def _publish(report: MutationReport, ground: Ground, request: MutateRequest, console: Console) -> None:
    print_report(report, console, f"{program()} mutate {request.command}--again".strip())
    files: dict[Path, str] = {}
    if request.json is not None:
        files[request.json] = msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
    if request.html is not None:
        files[request.html] = page(report, {name: text.decode() for name, text in ground.texts.items()})
    report_files.write(files)


def list_mutants(request: MutateRequest) -> ExitCode:
    """List the mutants that are chosen, a line each, with its reason if it has one; nothing is built."""
    reasons, mutants = request.reasons(), mutants_of(request.ground.texts())
    for one in request.choice.of(mutants):
        before, after = (" ".join(text.split())[:40] for text in (one.before, one.after))
        reason = explained.reason_for(one, reasons)
        click.echo(
            f"{one.key}  {one.operator:<20} {one.file}:{one.line:<5} {one.function}  {before} → {after}"
            + (f"  explained: {reason.why}" if reason else "")
        )
    for words in explained.idle(reasons, mutants, reasons):
        click.echo(f"{IDLE}: {words}", err=True)
    return ExitCode.PASS


def again(request: MutateRequest, key: str) -> ExitCode:
    """Build and judge one mutant again, show all that is known of it; leave its text for `check`.

    Raises:
        UsageError: there is no such mutant.
    """
    reasons, mutants = request.reasons(), mutants_of(request.ground.texts())
    mutant = _named(mutants, key)  # refused before the subject is judged
    console = console_for()
    with Progress(console) as progress:
        ground = request.ground.made(progress, mutants, lambda _: None)
    _require_made_of(mutants, ground)
    with known({sha256_of(path): path for path in ground.files}):
        judged = ground.work(ground.task(mutant, False))
    reason = explained.reason_for(mutant, reasons)
    found = score.reported(mutant, judged, ground.texts, ground.reference, ground.contract, reason)
    print_mutant(found, console)
    console.print(f"{judged.cpu_s:.1f} s of a core, {judged.build_cpu_s:.1f} s of it for builds")
    folder = _laid_out(ground, mutant)
    of_a_core = isinstance(request.ground, CoreGround)
    path = folder if of_a_core else folder / next(iter(ground.texts))
    option = "--kernel-src" if of_a_core else "--frame-rs"
    console.print(f"its text: {path} ({shlex.join([program(), 'check', option, str(path)])})", soft_wrap=True)
    if found.explained and found.fate is Fate.EQUIVALENT:
        return ExitCode.PASS  # it was judged, and it survived as the reason says
    return status(score.share("", [found]), request.least, explained=bool(found.explained))


def _named(mutants: list[Mutant], key: str) -> Mutant:
    found = [one for one in mutants if one.key.startswith(key)]
    if len(found) != 1:
        raise UsageError(
            "--again", key, expected="the key of one mutant",
            actual=plural(len(found), "mutant"), next_step="copy the key of a report on this very text",
        )  # fmt: skip
    return found[0]


def _laid_out(ground: Ground, mutant: Mutant) -> Path:
    """Write the mutant's files to a folder where they stay; return that."""
    folder = build_dir() / "mutated" / mutant.key / "memory"
    for name, text in ground.texts.items():
        write_whole(folder / name, applied(text, mutant) if name == mutant.file else text)
    return folder
