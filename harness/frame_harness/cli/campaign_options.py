"""The options of commands whose work can be a campaign."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from frame_harness.base import resources
from frame_harness.base.disk import new_folder
from frame_harness.base.errors import UsageError
from frame_harness.base.program import program
from frame_harness.cli.options import FOLDER, not_empty

if TYPE_CHECKING:
    from frame_harness.base.commands import Say
    from frame_harness.campaigns.plan import Settings

F = TypeVar("F", bound=Callable[..., Any])
IN_THE_COMMAND: Final = 0
"""Workers of a command that was not asked for any."""


@dataclass(frozen=True)
class CampaignOptions:
    """Where the work of a command is done, and where its results are kept.

    Attributes:
        workers: processes of this machine; None where nobody said how many.
        scheduler: address of an existing cluster; empty for this machine.
        out: the folder for the results of a new campaign.
        resume: the folder of a campaign to go on with.
    """

    workers: int | None = None
    scheduler: str = ""
    out: Path | None = None
    resume: Path | None = None

    @property
    def asked(self) -> bool:
        """Whether any of them was given."""
        return self != CampaignOptions()

    @property
    def spreads(self) -> bool:
        """Whether a check is made by workers of a cluster: its own processes need none."""
        return bool(self.scheduler) or self.resume is not None

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Files of the folder with the results that no report may be."""
        folder = self.resume or self.out
        if folder is None:
            return ()
        from frame_harness.campaigns.journal import own_files  # noqa: PLC0415  most commands are no campaign

        return own_files(folder)

    def require_sense(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: says which two.
        """
        if self.out and self.resume:
            raise UsageError("--resume", detail="does not go with --out", next_step="leave one of them out")
        if self.scheduler and self.workers:
            raise UsageError(
                "--workers", detail="does not go with --scheduler: a cluster has the workers that it has",
                next_step=f"start more with: {program()} worker {self.scheduler} --workers {self.workers}",
            )  # fmt: skip

    def settings(self, name: str, say: Say) -> Settings:
        """Return what the engine is told.

        Args:
            name: of the command, for the folder that nobody named.
        Raises:
            UsageError: two of them contradict each other.
        """
        from frame_harness.campaigns.plan import Settings  # noqa: PLC0415  --help starts faster without it

        self.require_sense()
        folder = self.resume or self.out or new_folder(resources.build_dir() / "campaigns", f"{name}-")
        return Settings(self.workers, self.scheduler or None, folder, self.resume is not None, say)

    def forget(self, settings: Settings) -> None:
        """Remove results that nobody will go on with, where nobody named their folder.

        One that stays is said, and no more: what the results showed counts all the same.
        """
        if settings.folder is not None and settings.folder not in (self.out, self.resume):
            try:
                shutil.rmtree(settings.folder)
            except OSError as error:
                if settings.say is not None:
                    settings.say(f"results are not removed: {error}")


NO_CAMPAIGN: Final = CampaignOptions()


def campaign_options(command: F) -> F:
    """Give a command all of them; they come as one value, `where`."""
    out = click.option("--out", type=FOLDER, metavar="DIR", help="Keep the results of the campaign there.")

    @functools.wraps(command)
    def at(out: Path | None, where: CampaignOptions, **others: Any) -> Any:
        return command(where=replace(where, out=out), **others)

    return spread_options(cast(F, out(at)))


def _of_a_campaign(_context: click.Context, _option: click.Parameter, folder: Path | None) -> Path | None:
    """Refuse another folder before anything is built or judged."""
    if folder is not None:
        from frame_harness.campaigns.journal import require_campaign  # noqa: PLC0415

        require_campaign(folder)
    return folder


resume_option = click.option(
    "--resume", type=FOLDER, metavar="DIR", callback=_of_a_campaign,
    help="Go on with the campaign whose results are there.",
)  # fmt: skip


def spread_options(command: F) -> F:
    """Give a command all but `--out`, which it has for something else; they come as `where`."""

    @functools.wraps(command)
    def at(workers: int | None, scheduler: str, resume: Path | None, **others: Any) -> Any:
        return command(where=CampaignOptions(workers, scheduler, resume=resume), **others)

    found = cast(F, at)
    for option in (
        resume_option,
        click.option(
            "--scheduler", default="", metavar="ADDRESS", callback=not_empty,
            help="Do the work on the workers of that cluster, such as tcp://server:8786.",
        ),
        click.option(
            "--workers", type=click.IntRange(1), help="Do the work in so many processes of this machine."
        ),
    ):  # fmt: skip
        found = option(found)
    return found
