"""A process that is forked for some work begins deaf, and is heard through its pipe."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

from frame_harness.base.forking import ended_within, forked
from frame_harness.base.interruption import STOPPING, Blocked, unstopped


def answer(connection: Connection, blocked: Blocked) -> None:
    deaf_to = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    connection.send((os.getppid(), sorted(deaf_to), sorted(blocked)))


def test_forked_process_hears_no_signal_until_it_lets_them_in() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with unstopped() as blocked:
        ours, process = forked(answer, blocked)
    parent, deaf_to, let_in = ours.recv()
    process.join()
    assert parent == os.getpid()
    assert set(STOPPING) <= set(deaf_to)
    assert let_in == sorted(before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_pipe_ends_with_the_forked_process() -> None:
    with unstopped() as blocked:
        ours, process = forked(lambda *_: None, blocked)
    assert ours.poll(None)
    process.join()
    assert process.exitcode == 0


def test_a_process_has_ended_though_the_start_of_another_one_waited_for_it() -> None:
    with unstopped() as blocked:
        ours, process = forked(lambda *_: None, blocked)
        assert ours.poll(None)
        while process.exitcode is None:
            pass
        assert ended_within(process, 0)
