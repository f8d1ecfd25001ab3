"""Temporary folders that a later process removes where the one that made them was killed.

A folder is locked by its maker, and by what that forked: the lock goes with the last of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "frame-harness-"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # another one each time that the host starts
_SWEPT: Final[set[Path]] = set()


@functools.cache
def suffix() -> str:
    """How names of folders end that are held on this host since it was started.

    A lock on a folder of a network file system may be known to one host alone.
    """
    return f".{_BOOT_ID.read_text(encoding='ascii')[:8]}.tmp"


@contextlib.contextmanager
def held_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for the time of a block; where it cannot be locked, one that nobody sweeps.

    Args:
        prefix: of its name; begins with `PREFIX`.
    Raises:
        OSError: it cannot be made.
    """
    if place not in _SWEPT:
        _SWEPT.add(place)
        sweep(place)
    locked = True
    while locked:
        with tempfile.TemporaryDirectory(prefix=prefix, suffix=suffix(), dir=place) as name:
            folder = Path(name)
            with _opened(folder) as number:
                # One that somebody swept before it was locked is made again.
                locked = not folder.is_dir() or (number is not None and _is_locked(number, fcntl.LOCK_EX))
                if locked and folder.is_dir():
                    yield folder
                    return
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as name:
        yield Path(name)


def sweep(place: Path) -> None:
    """Remove this user's folders that no process of this host holds any more."""
    with contextlib.suppress(OSError):  # a folder that cannot be listed
        for folder in place.glob(f"{PREFIX}*{suffix()}"):
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
    return os.fstat(number).st_uid == os.geteuid() and _is_locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(number: int, how: int) -> bool:
    """Lock a folder; False where somebody else holds it, or its file system has no locks."""
    try:
        fcntl.flock(number, how)
    except OSError:
        return False
    return True
