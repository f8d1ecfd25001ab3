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


def test_child_of_somebody_else_is_left_alone() -> None:
    said = subprocess.run([sys.executable, "-c", STRANGER], capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"
