"""Runs a program with a small file system of its own, which is full, or may not be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.doors import SOURCES, WORDS_OF_THE_CALLER

UNSHARE: Final = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--mount")
# The file system goes with the namespace, and the namespace with its last process.
_SCRIPT: Final = """\
place=$1 size=$2 state=$3
shift 3
mount -t tmpfs -o "size=$size" tmpfs "$place" || exit 99
test "$state" = room || head -c "$size" /dev/zero > "$place/filler" 2> /dev/null
test "$state" != read-only || mount -o remount,ro "$place" || exit 99
exec "$@"
"""


def run_on(
    place: Path,
    size: str,
    argv: Sequence[str | Path],
    *,
    state: str = "room",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in a mount namespace where a folder is a file system of its own.

    Args:
        size: of the file system, such as `100k`.
        state: `room`, `full` or `read-only`.
    """
    _require()
    place.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for name in WORDS_OF_THE_CALLER & environment.keys():
        del environment[name]
    environment |= {"PYTHONPATH": str(SOURCES), **(env or {})}
    command = [*UNSHARE, "sh", "-c", _SCRIPT, "sh", str(place), size, state, *map(str, argv)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _require() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux), for a small file system")
    tried = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    finished = subprocess.run(tried, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        pytest.skip(f"this system refuses a small file system of our own: {finished.stderr.strip()}")
