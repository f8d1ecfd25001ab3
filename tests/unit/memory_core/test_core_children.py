"""Proves that what one process came to is kept, however another one ends and whatever it says."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.judge.evidence import RunKey, Trouble
from frame_harness.memory_core.children import BuildJob, in_processes
from frame_harness.memory_core.sightings import Fault

DEV, RELEASE = RunKey("microvm", "dev"), RunKey("microvm", "release")
FOUND = Fault(clause="CORE-01", cause="here")
STRANGE = os.fsdecode(b"/kernel/\xff.rs")
Say = Callable[[str], None]


def finds(_: Say) -> Fault:
    return FOUND


def dies(_: Say) -> Fault:
    os.kill(os.getpid(), signal.SIGKILL)
    return FOUND


def dies_in_a_message(_: Say) -> Fault:
    def half(connection: Connection, message: bytes) -> None:
        os.write(connection.fileno(), struct.pack("!i", len(message)) + message[:5])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection.send_bytes = half  # type: ignore[method-assign, assignment]
    return FOUND


def dies_in_a_size(_: Say) -> Fault:
    def half(connection: Connection, message: bytes) -> None:
        os.write(connection.fileno(), struct.pack("!i", len(message))[:2])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection.send_bytes = half  # type: ignore[method-assign, assignment]
    return FOUND


def ended(*work: Callable[[Say], Fault]) -> tuple[list[Fault | Trouble], list[str]]:
    """What jobs came to, in their order, and what was said on the way."""
    said: list[str] = []
    jobs = [BuildJob(str(number), (DEV, RELEASE)[number % 2], do) for number, do in enumerate(work)]
    outcomes = in_processes(jobs, Fault, lambda _, words: said.append(words))
    return [outcome for _, outcome in sorted(outcomes, key=lambda one: one[0].name)], said


@pytest.mark.parametrize("do", [dies, dies_in_a_message, dies_in_a_size])
def test_a_process_that_is_killed_takes_no_evidence_of_another_away(do: Callable[[Say], Fault]) -> None:
    (trouble, found), _ = ended(do, finds)
    assert found == FOUND and isinstance(trouble, Trouble)
    assert (trouble.message, trouble.run) == ("the process that judged it died", DEV)
    assert trouble.next.startswith("run the same command again")


def test_a_name_that_is_not_utf_8_is_told_with_a_mark_in_its_place() -> None:
    def says(say: Say) -> Fault:
        say(STRANGE)
        return Fault(clause="CORE-01", cause=STRANGE)

    def fails(_: Say) -> Fault:
        raise HarnessError("file", STRANGE, detail="is gone")

    (found, trouble), said = ended(says, fails)
    assert isinstance(found, Fault) and found.cause == "/kernel/?.rs" and said == ["/kernel/?.rs"]
    assert isinstance(trouble, Trouble) and "/kernel/?.rs" in trouble.message
