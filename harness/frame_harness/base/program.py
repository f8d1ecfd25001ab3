"""Knows how the user called this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAM = "frame-harness"


def program() -> str:
    """Return this program's name for a command that is shown, so that it can be run as it stands."""
    called = sys.argv[0]
    if Path(called).name != PROGRAM or shutil.which(PROGRAM) == str(Path(called).resolve()):
        return PROGRAM
    return os.path.relpath(called) if Path(called).resolve().is_relative_to(Path.cwd()) else called
