"""Judges the builds of a core at the same time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

import msgspec

from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.base.parent import die_with_parent
from frame_harness.judge.evidence import Outcome, RunKey, Trouble
from frame_harness.memory_core.worker import Judged, Task, decoded, encoded, judge_build

_SAY, _DONE, _TROUBLE = b"s", b"d", b"t"


@dataclass(frozen=True)
class Outcomes:
    """What became of the builds."""

    judged: tuple[Judged, ...]
    troubles: tuple[Trouble, ...]


def judge_builds(tasks: Iterable[Task], say: Callable[[RunKey, str], None]) -> Outcomes:
    """Judge each task as soon as it comes, while the next is still being made.

    Args:
        tasks: made one by one, such as by a build.
        say: is told how far a build is.
    """
    context = multiprocessing.get_context("fork")
    parent = os.getpid()
    open_: dict[Connection, tuple[RunKey, ForkProcess]] = {}
    ended: list[Judged | Trouble] = []
    try:
        for task in tasks:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(task, theirs, parent), daemon=True)
            process.start()
            theirs.close()
            open_[ours] = (task.key, process)
        while open_:
            for ready in wait(list(open_)):
                assert isinstance(ready, Connection)
                key, process = open_[ready]
                outcome = _heard(ready, key, say)
                if outcome is not None:
                    ended.append(outcome)
                    process.join()
                    del open_[ready]
    finally:
        # Guests die with the process that started them.
        for _, process in open_.values():
            process.kill()
            process.join()
    return Outcomes(
        tuple(one for one in ended if isinstance(one, Judged)),
        tuple(one for one in ended if isinstance(one, Trouble)),
    )


def _heard(
    connection: Connection, key: RunKey, say: Callable[[RunKey, str], None]
) -> Judged | Trouble | None:
    """What a process came to; None where it only says how far it is."""
    try:
        message = connection.recv_bytes()
    except EOFError:
        return Trouble(what="memory core", message="the process that judged it died", run=key)
    kind, body = message[:1], message[1:]
    if kind == _DONE:
        return decoded(body)
    if kind == _TROUBLE:
        return msgspec.json.decode(body, type=Trouble)
    say(key, body.decode())
    return None


def _work(task: Task, connection: Connection, parent: int) -> None:
    """What the process does; it ends with one last message."""
    if os.getppid() != parent:
        return  # it ended before this process began
    die_with_parent(parent)
    try:
        judged = judge_build(task, lambda words: connection.send_bytes(_SAY + words.encode()))
        connection.send_bytes(_DONE + encoded(judged))
    except KeyboardInterrupt:
        pass  # the parent hears it, too
    except HarnessError as error:
        connection.send_bytes(_TROUBLE + msgspec.json.encode(_trouble(task.key, error)))


def _trouble(key: RunKey, error: HarnessError) -> Trouble:
    if isinstance(error, ImageError):
        missing = f"expected {error.expected}, got {error.actual}"
        message = f"this version cannot be judged: its state is kept in another way: {missing}"
        return Trouble(what="version", message=message, run=key, outcome=Outcome.ABSENT)
    return Trouble(
        what="memory core", message=error.summary, run=key, next=error.next_step, detail=error.evidence
    )
