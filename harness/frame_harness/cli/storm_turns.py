"""One turn of a storm: a guest, for some seconds."""

from __future__ import annotations

from frame_harness.base.record import Record
from frame_harness.campaigns.images import SentImage
from frame_harness.concurrency.smp import ProgramResult
from frame_harness.concurrency.storms import run_storm
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_storms.table import STORMS
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestTimeout, NotInThisVersion, SubjectPanic
from frame_harness.machine.definition import Machine


class StormTurn(Record, frozen=True, kw_only=True):
    """Which storm, on what, for how long."""

    storm: str
    seconds: float
    seed: int
    cpus: int
    image: SentImage
    machine: Machine


class Turned(Record, frozen=True, kw_only=True):
    """What a guest did, whether or not that broke something."""

    storm: str
    seed: int
    steps: int = 0
    seconds: float = 0.0
    lacks: tuple[str, ...] = ()
    """Names for want of which this version of the module cannot be asked."""
    broken: str = ""
    """What was seen that breaks clauses."""
    clauses: tuple[str, ...] = ()
    """Those clauses."""


def play_turn(turn: StormTurn) -> Turned:
    """Run a storm in a guest of its own."""
    storm = STORMS[turn.storm]
    done: list[ProgramResult] = []
    lacks: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    broken = ""
    image = turn.image.image(FRAME_METADATA)
    guest = Kernel.boot(image, turn.machine, cpus=turn.cpus, seed=turn.seed)
    try:
        with guest as kernel:
            run_storm(storm, kernel, seconds=turn.seconds, seed=turn.seed, seen=done.append)
    except NotInThisVersion as error:
        lacks = tuple(error.lacks)
    except (ClauseViolated, SubjectPanic, GuestCrashed, GuestTimeout) as error:  # also of a guest on its exit
        broken = str(error)
        clauses = tuple(error.breaks if isinstance(error, OtherClauseViolated) else storm.clauses)
    return Turned(
        storm=turn.storm, seed=turn.seed, steps=sum(one.steps for one in done),
        seconds=sum(one.seconds for one in done), lacks=lacks, broken=broken, clauses=clauses,
    )  # fmt: skip


def is_broken(turned: Turned) -> bool:
    """Whether something was seen that breaks clauses."""
    return bool(turned.broken)
