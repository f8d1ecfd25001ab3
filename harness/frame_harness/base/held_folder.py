"""Temporary folders that a later process removes where the one that made them was killed.

A folder is locked by its maker, and by what that forked: the lock goes with the last of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "frame-harness-"
_SUFFIX: Final = ".tmp"
"""Tells them from folders that nobody locks."""
_SWEPT: Final[set[Path]] = set()


@contextlib.contextmanager
def held_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for the time of a block.

    Args:
        prefix: of its name; begins with `PREFIX`.
    Raises:
        OSError: it cannot be made.
    """
    if place not in _SWEPT:
        _SWEPT.add(place)
        sweep(place)
    while True:
        with tempfile.TemporaryDirectory(prefix=prefix, suffix=_SUFFIX, dir=place) as name:
            folder = Path(name)
            with _opened(folder) as number:
                with contextlib.suppress(OSError):  # a file system without locks, where nobody sweeps either
                    if number is not None:
                        fcntl.flock(number, fcntl.LOCK_EX)
                if folder.is_dir():  # else somebody swept before it was locked
                    yield folder
                    return


def sweep(place: Path) -> None:
    """Remove this user's folders that no process holds any more."""
    with contextlib.suppress(OSError):  # a folder that cannot be listed
        for folder in place.glob(f"{PREFIX}*{_SUFFIX}"):
            with _opened(folder) as number:
                if number is not None and _is_left(number):
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        number = None  # it is gone, is somebody else's or no folder
    try:
        yield number
    finally:
        if number is not None:
            os.close(number)


def _is_left(number: int) -> bool:
    if os.fstat(number).st_uid != os.geteuid():
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
