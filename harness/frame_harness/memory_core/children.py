"""Does pieces of work at the same time, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final, Generic, TypeVar

from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.base.forking import forked
from frame_harness.base.interruption import Blocked, unstopped, until_interrupted
from frame_harness.base.pipes import heard
from frame_harness.base.record import Record
from frame_harness.judge.evidence import Outcome, RunKey, Trouble, decode, encode

_SAY, _DONE, _TROUBLE = b"s", b"d", b"t"
ANY_NUMBER: Final = 1 << 30

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class BuildJob(Generic[R]):
    """Work on one build."""

    name: str
    """For the person who waits."""
    run: RunKey
    do: Callable[[Callable[[str], None]], R]
    """Is given a way to say how far it is."""


EndedJob = tuple[BuildJob[R], R | Trouble]


def in_processes(
    jobs: Iterable[BuildJob[R]], kind: type[R], say: Callable[[str, str], None], most: int = ANY_NUMBER
) -> list[EndedJob[R]]:
    """Begin each job as soon as it comes, while the next is still being made; return what became of them.

    Args:
        jobs: made one by one, such as by a build.
        kind: of the results.
        say: is told the name of a job, and how far it is.
        most: at the same time.
    """
    open_: dict[Connection, tuple[BuildJob[R], ForkProcess]] = {}
    ended: list[EndedJob[R]] = []
    try:
        for job in jobs:
            while len(open_) >= most:
                ended += _next_messages(open_, kind, say)
            with unstopped() as blocked:
                ours, process = forked(partial(_work, job), blocked)
                open_[ours] = (job, process)
        while open_:
            ended += _next_messages(open_, kind, say)
    finally:
        # Guests die with the process that started them.
        for _, process in open_.values():
            process.kill()
            process.join()
    return ended


def _next_messages(
    open_: dict[Connection, tuple[BuildJob[R], ForkProcess]], kind: type[R], say: Callable[[str, str], None]
) -> list[EndedJob[R]]:
    """Wait for some process to say something; those that ended are taken out."""
    ended: list[EndedJob[R]] = []
    for ready in wait(list(open_)):
        assert isinstance(ready, Connection)
        job, process = open_[ready]
        outcome = _heard(ready, job, kind, say)
        if outcome is not None:
            ended.append((job, outcome))
            process.join()
            del open_[ready]
    return ended


def _heard(
    connection: Connection, job: BuildJob[R], kind: type[R], say: Callable[[str, str], None]
) -> R | Trouble | None:
    """What a process came to; None where it only says how far it is."""
    try:
        message = heard(connection)
    except EOFError:
        todo = "run the same command again; `dmesg` tells whether the host ran out of memory"
        return Trouble(what="memory core", message="the process that judged it died", run=job.run, next=todo)
    what, body = message[:1], message[1:]
    if what == _DONE:
        return decode(body, kind)
    if what == _TROUBLE:
        return decode(body, Trouble)
    say(job.name, body.decode())
    return None


def _work(job: BuildJob[R], connection: Connection, blocked: Blocked) -> None:
    """What the process does; it ends with one last message."""

    def do() -> None:
        try:
            result = job.do(lambda words: connection.send_bytes(_SAY + words.encode(errors="replace")))
            connection.send_bytes(_DONE + encode(result).encode())
        except HarnessError as error:
            connection.send_bytes(_TROUBLE + encode(trouble_of_a_build(job.run, error)).encode())

    until_interrupted(do, blocked)


def trouble_of_a_build(key: RunKey, error: HarnessError) -> Trouble:
    """Say what an error kept from being judged; of another kind of core, that this version cannot be."""
    if isinstance(error, ImageError):
        missing = f"expected {error.expected}, got {error.actual}"
        message = f"this version cannot be judged: its state is kept in another way: {missing}"
        return Trouble(what="version", message=message, run=key, outcome=Outcome.ABSENT)
    return Trouble(
        what="memory core", message=error.summary, run=key, next=error.next_step, detail=error.evidence
    )
