"""Tasks for campaigns in tests, which workers import; and a command that runs a campaign of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from frame_harness.base.commands import speaker
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.record import Record
from frame_harness.base.units import PAGE_SIZE
from frame_harness.campaigns.engine import Plan, Settings, campaign
from frame_harness.campaigns.files import path_of
from frame_harness.campaigns.images import SentImage
from frame_harness.campaigns.usage import memory_left
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.machine.definition import load_machine

LIMIT_S = 1.0
MIB = 1 << 20


class Kind(StrEnum):
    """What a task does."""

    SQUARE = "square"
    HANG = "hang"
    EAT = "eat"
    DIE = "die"
    NO_MEMORY = "no memory"
    MEMORY_LEFT = "memory left"
    REFUSE = "refuse"
    BUG = "bug"
    EXIT = "exit"
    LEAVE = "leave"
    ANNOUNCE = "announce"
    FILE = "file"
    BOOT = "boot"


class Job(Record, frozen=True, kw_only=True):
    """A payload.

    Attributes:
        where: the file that tells the test of a process; or the sha256 of the file that is wanted.
    """

    kind: Kind = Kind.SQUARE
    n: int = 0
    where: str = ""
    image: SentImage | None = None


class Number(Record, frozen=True, kw_only=True):
    """A result."""

    n: int


def act(job: Job) -> Number:
    """Do what the job says."""
    if job.kind in (Kind.HANG, Kind.EAT, Kind.DIE, Kind.ANNOUNCE):
        _come_to_no_end(job)
    if job.kind is Kind.NO_MEMORY:
        raise MemoryError
    if job.kind is Kind.REFUSE:
        raise UsageError("number", str(job.n), expected="another", actual="this", next_step="choose another")
    if job.kind is Kind.BUG:
        raise ZeroDivisionError(f"not by {job.n}")
    if job.kind is Kind.EXIT:
        sys.exit(job.n)
    return Number(n=_number(job))


def _come_to_no_end(job: Job) -> None:
    tempfile.mkstemp()
    if job.kind is Kind.EAT:
        kept = bytearray(job.n * MIB)
        kept[::PAGE_SIZE] = b"1" * (job.n * MIB // PAGE_SIZE)
    elif job.kind is Kind.DIE:
        os.kill(os.getpid(), signal.SIGKILL)
    elif job.kind is Kind.ANNOUNCE:
        with Path(job.where).open("w") as fifo:
            print(os.getpid(), file=fifo)
    signal.pause()


def _number(job: Job) -> int:
    if job.kind is Kind.LEAVE:
        return subprocess.Popen(["sleep", "3600"], start_new_session=True).pid
    if job.kind is Kind.FILE:
        return len(path_of(job.where, "file.txt").read_bytes())
    if job.kind is Kind.BOOT:
        return _booted(job)
    if job.kind is Kind.MEMORY_LEFT:
        return -1 if (left := memory_left()) is None else left
    return job.n * job.n


def _booted(job: Job) -> int:
    if job.image is None:
        raise HarnessError("no image")
    with Kernel.boot(job.image.image(FRAME_METADATA), load_machine("microvm")) as kernel:
        return int(kernel.image.sha256 == job.image.sha256)


def plan_of(
    identity: str = "one", *, limit_s: float = LIMIT_S, files: Sequence[Path] = ()
) -> Plan[Job, Number]:
    """A campaign of such tasks."""
    return Plan("tries", act, Number, identity, tuple(files), limit_s)


class Request(Record, frozen=True, kw_only=True):
    """What the command is asked for."""

    folder: str
    jobs: dict[str, Job]
    workers: int | None = None
    scheduler: str | None = None
    resume: bool = False
    files: tuple[str, ...] = ()
    limit_s: float = 600.0


def main() -> None:
    """Run the campaign that the one argument asks for; print each key as it comes."""
    request = msgspec.json.decode(sys.argv[1], type=Request)
    plan = plan_of(limit_s=request.limit_s, files=[Path(file) for file in request.files])
    settings = Settings(
        request.workers, request.scheduler, Path(request.folder), request.resume, speaker(sys.stderr)
    )
    try:
        with campaign(plan, settings) as running:
            for key, job in request.jobs.items():
                running.submit(key, job)
            for done in running.results():
                print(f"came {done.key}", flush=True)
    except HarnessError as error:
        print(f"error: {error}", flush=True)
        sys.exit(3)
