"""Finds programs of this host, those that the set-up put beside this Python included."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

OWN_PROGRAMS = Path(sys.prefix) / "bin"
"""Where the set-up of a clone puts programs that could not be installed; often not on the PATH."""


def find_program(name: str) -> str | None:
    """Return the path of a program: on the PATH, else beside this Python; None where there is none."""
    return shutil.which(name) or shutil.which(name, path=str(OWN_PROGRAMS))
