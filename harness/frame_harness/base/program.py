"""Knows how the user called this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAM = "frame-harness"


def program() -> str:
    """Return this program's name for a command that is shown, so that it can be run as it stands."""
    called, found = sys.argv[0], shutil.which(PROGRAM)
    if Path(real := os.path.realpath(called)).name == PROGRAM != Path(called).name:
        called = real  # a link of another name leads to it
    # The folder that it lies in may be a link.
    if Path(called).name != PROGRAM or (found and os.path.realpath(found) == os.path.realpath(called)):
        return PROGRAM
    return os.path.relpath(called) if Path(called).absolute().is_relative_to(Path.cwd()) else called
