"""A folder for what is built, at the same place from test to test: the path is a part of what is compiled."""

from __future__ import annotations

import fcntl
import shutil
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO

from frame_harness.base.resources import build_dir

_HELD: list[IO[bytes]] = []


def same_place() -> Path:
    """The folder of this process, empty; the compiler finds there what it kept of the test before.

    For a subject that one test builds and nobody else looks at: the next test empties the folder.
    """
    folder = _of_this_process()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@cache
def _of_this_process() -> Path:
    """The first folder that no living process holds."""
    root = build_dir() / "tests"
    root.mkdir(parents=True, exist_ok=True)
    for number in count():
        file = (root / f"{number}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _HELD.append(file)  # a lock goes with its file
        return root / str(number)
    raise AssertionError("unreachable")
