"""What a campaign does, and what it is told by the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from frame_harness.base.commands import Say
from frame_harness.base.record import Record

P = TypeVar("P", bound=Record)
R = TypeVar("R", bound=Record)


def always(_: Record) -> bool:
    """Take every result for final."""
    return True


@dataclass(frozen=True)
class Plan(Generic[P, R]):
    """What each task of a campaign does.

    Attributes:
        name: of the command, such as `mutate`.
        work: a function of a module, which any worker can import; runs in a process of its own, and may raise
            HarnessError, which ends the campaign.
        result: the type of what it returns; results are kept as JSON lines.
        identity: a digest of all that results depend on, but for the tasks' own payloads.
        files: that workers may ask for by their content.
        limit_s: a task that takes longer, in CPU time and in time, is ended with all its guests, and is lost.
        is_finding: whether a result counts as a finding in the line of progress; None where none does.
        open_ended: nobody knows beforehand how many tasks there are.
        is_final: whether a kept result stands; a task whose result does not is done again on `--resume`.
        seed: of what is random in it, to be kept for `--resume`; None where the command always has the same.
    """

    name: str
    work: Callable[[P], R]
    result: type[R]
    identity: str
    files: tuple[Path, ...] = ()
    limit_s: float = 600.0
    is_finding: Callable[[R], bool] | None = None
    open_ended: bool = False
    is_final: Callable[[R], bool] = always
    seed: int | None = None


@dataclass(frozen=True)
class Settings:
    """Where a campaign runs, and where its results are kept.

    Attributes:
        workers: processes of the local cluster; None for one on each core, 0 for the command's own process.
        scheduler: address of an existing cluster, such as `tcp://server:8786`; None for a local one.
        folder: of the results; None where none are kept.
        resume: goes on with the campaign whose results are in that folder.
        say: shows how far it is.
    """

    workers: int | None
    scheduler: str | None
    folder: Path | None
    resume: bool
    say: Say | None
