"""Threads that are started for workers hear no Ctrl-C, and the command hears it as before."""

from __future__ import annotations

import signal
import threading

import pytest

from frame_harness.campaigns.signals import only_for_the_command

KEPT = {signal.SIGINT, signal.SIGHUP}


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def blocked_in_a_thread() -> set[int]:
    found: list[set[int]] = []
    thread = threading.Thread(target=lambda: found.append(blocked()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_of_the_block_hears_neither_signal_also_when_that_is_over() -> None:
    go, found = threading.Event(), list[set[int]]()

    def look() -> None:
        go.wait()
        found.append(blocked())

    with only_for_the_command():
        inside = blocked_in_a_thread()
        waiting = threading.Thread(target=look)
        waiting.start()
    go.set()
    waiting.join()
    assert inside >= KEPT and found[0] >= KEPT
    assert not blocked_in_a_thread() & KEPT


@pytest.mark.parametrize("before", [set(), {signal.SIGHUP}, {signal.SIGUSR1}], ids=str)
def test_the_command_is_interrupted_afterwards_as_before(
    before: set[signal.Signals],
) -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, before)
    try:
        heard = blocked()
        with pytest.raises(ValueError, match="in the block"), only_for_the_command():
            assert blocked() >= KEPT | before
            raise ValueError("in the block")
        assert blocked() == heard
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
