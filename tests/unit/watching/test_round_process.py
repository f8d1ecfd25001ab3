"""Proves that a round says what it sees, and that nothing of it runs on when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from frame_harness.base.interruption import unstopped
from frame_harness.base.parent import adopt_orphans
from frame_harness.watching.messages import Doing, Noted, Tell
from frame_harness.watching.process import Round
from tests.support.children import cut_off


def test_a_round_says_its_messages_in_order_then_none() -> None:
    def work(tell: Tell) -> None:
        tell(Doing(words="compiles"))
        tell(Noted(words="enough"))

    round_ = Round(work, others())
    assert [round_.next(), round_.next(), round_.next()] == [
        Doing(words="compiles"),
        Noted(words="enough"),
        None,
    ]
    assert round_.last_words() == ""


def test_what_a_round_printed_when_it_broke_down_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    def work(_tell: Tell) -> None:
        print("a line before", flush=True)
        raise LookupError("a fault of the harness")

    with capfd.disabled():  # pytest's own output is not that of the process
        round_ = Round(work, others())
    assert round_.next() is None
    words = round_.last_words()
    assert words.startswith("a line before") and words.endswith("LookupError: a fault of the harness")


def test_a_round_that_is_killed_in_the_middle_of_a_message_has_ended() -> None:
    round_ = Round(lambda _: None, others())
    round_.said.close()
    round_.said = cut_off()
    assert round_.next() is None
    assert round_.last_words() == ""


def test_only_the_last_lines_of_a_long_output_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        round_ = Round(lambda _: print(*range(100), sep="\n", flush=True), others())
    assert round_.next() is None
    assert round_.last_words().splitlines() == [str(number) for number in range(80, 100)]


def test_a_round_that_is_stopped_ends_its_work_and_what_it_started(tmp_path: Path) -> None:
    def work(tell: Tell) -> None:
        child = subprocess.Popen(["sh", "-c", "trap '' INT; exec cat"], stdin=subprocess.PIPE)
        try:
            tell(Noted(words=str(child.pid)))
            while child.poll() is None:  # a signal is never lost here, as it is ahead of a call that blocks
                pass
        finally:
            (tmp_path / "ended").touch()

    adopt_orphans()
    kept = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        round_ = Round(work, others(kept.pid))
        said = round_.next()
        assert isinstance(said, Noted)
        round_.stop()
        assert (tmp_path / "ended").exists(), "its work was killed before it could end"
        assert not Path(f"/proc/{said.words}").exists()
        assert kept.poll() is None, "a process that is none of the round's was ended"
    finally:
        kept.communicate()


def others(*pids: int) -> set[int]:
    """The children that this process has already, as a worker of pytest may."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return {*pids, *map(int, listed)}


def test_signals_are_put_off_for_a_while_and_then_as_before() -> None:
    def blocked() -> set[signal.Signals]:
        return {signal.Signals(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ())}

    before = blocked()
    with unstopped() as told:
        assert told == before and signal.SIGINT in blocked()
    assert blocked() == before
