"""Proves that a forked process ends on Ctrl-C with what its work cleans up, once, and without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

FORKED = """
import multiprocessing, multiprocessing.util, os, signal, sys
from frame_harness.base.interruption import STOPPING, until_interrupted

def say(word):
    os.write(1, word.encode() + b"\\n")

def end_slowly():
    say("ends")
    sys.stdin.buffer.raw.read(1)
    say("ended")

def work():
    try:
        say(str(os.getpid()))
        if sys.argv[1] == "waits":
            signal.pause()
        if sys.argv[1] == "breaks":
            raise LookupError("a fault of the work")
    finally:
        say("cleaned up")

def child(blocked, stdin):
    sys.stdin = open(stdin)
    multiprocessing.util.Finalize(None, end_slowly, exitpriority=1)
    until_interrupted(work, blocked)

blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
process = multiprocessing.get_context("fork").Process(target=child, args=(blocked, os.dup(0)))
process.start()
process.join()
sys.exit(process.exitcode)
"""


def until(program: subprocess.Popen[str], word: str) -> list[str]:
    assert program.stdout is not None
    lines = []
    for line in program.stdout:
        lines.append(line.strip())
        if lines[-1] == word:
            return lines
    raise AssertionError(f"{word!r} was never said: {lines}")


@pytest.mark.parametrize("how", ["waits", "returns"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_while_a_process_ends_leaves_no_trace(how: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        if how == "waits":
            os.kill(pid, number)
        assert "cleaned up" in until(program, "ends")
        os.kill(pid, number)
        out, err = program.communicate("x")
    assert (program.returncode, out.split(), err) == (0, ["ended"], "")


def test_fault_of_the_work_is_not_hidden() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, "breaks"], input="x", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "LookupError: a fault of the work" in done.stderr
