"""Takes paths as users write them, whatever they lead to."""

from __future__ import annotations

import os
from pathlib import Path


def real(path: Path) -> Path:
    """The absolute path with its links followed; links that lead in a circle stay, as nothing lies there.

    `Path.resolve` raises a RuntimeError at them before Python 3.13.
    """
    return Path(os.path.realpath(path))


def at_home(path: str | Path) -> Path:
    """The path with `~` or `~user` in front replaced; of a user that nobody knows it stays, as in a shell."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
