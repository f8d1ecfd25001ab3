"""Which files are scripts. Nothing is imported: pytest asks it of each file that it collects."""

from __future__ import annotations

from pathlib import Path

SUFFIX = ".txt"
SCRIPT = "frame-harness script"
"""Begins the first line of a script, of whatever version."""
_BEGIN = f"# {SCRIPT} ".encode()


def is_script(path: Path) -> bool:
    """Whether a file is a script, by its first line; who reads it refuses other versions."""
    if path.suffix != SUFFIX or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN
