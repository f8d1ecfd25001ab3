"""Proves that a process which asked for it ends with its parent, and no other does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.children import child_ends_too

CHILD = """
import os, signal
from frame_harness.base.parent import die_with_parent
die_with_parent(os.getppid())
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = f"""
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", {CHILD!r}]).returncode)
"""

LEAVES_A_CHILD = """
import os, subprocess, sys
from frame_harness.base.parent import adopt_orphans, end_children
adopt_orphans()
kept = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
reads, _ = os.pipe()
leaves = f"cat <&{reads} >/dev/null 2>&1 & echo $!"
shell = subprocess.run(["sh", "-c", leaves], pass_fds=[reads], stdout=subprocess.PIPE)
end_children({kept.pid})
print(os.path.exists(f"/proc/{int(shell.stdout)}"), kept.poll())
kept.communicate()
"""

RUNS_A_TOOL = """
import sys
from frame_harness.base.commands import run
run(["sh", "-c", sys.argv[1]], what="compiling", how_far=lambda line: print(line, end="", flush=True))
"""

STRANGER = """
import ctypes, os
from frame_harness.base.parent import die_with_parent
die_with_parent(os.getpid())
number, PR_GET_PDEATHSIG = ctypes.c_int(-1), 2
assert ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0) == 0
print(number.value)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_child_ends_with_its_parent_whatever_kills_it(number: signal.Signals) -> None:
    assert child_ends_too([sys.executable, "-c", PARENT], number), "the child outlived its parent"


@pytest.mark.parametrize(
    "tool",
    [
        "echo $$; exec sleep 600",
        "sh -c 'echo $$; exec sleep 600'; true",
        "trap '' TERM; echo $$; sleep 600; true",
    ],
    ids=["cargo", "its compiler", "one that is deaf"],
)
def test_a_slow_tool_ends_with_the_harness_that_is_killed(tool: str) -> None:
    assert child_ends_too([sys.executable, "-c", RUNS_A_TOOL, tool], signal.SIGKILL)


def test_child_of_somebody_else_is_left_alone() -> None:
    said = subprocess.run([sys.executable, "-c", STRANGER], capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"


def test_what_a_child_left_behind_is_ended_and_nothing_else() -> None:
    said = subprocess.run([sys.executable, "-c", LEAVES_A_CHILD], capture_output=True, text=True, check=True)
    assert said.stdout == "False None\n"
