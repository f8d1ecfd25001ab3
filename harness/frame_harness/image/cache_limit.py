"""Keeps the build folder below a size: what was used least recently goes first."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from frame_harness.base import resources
from frame_harness.base.errors import UsageError
from frame_harness.base.units import format_bytes, parse_bytes

VARIABLE: Final = "FRAME_HARNESS_CACHE_LIMIT"
DEFAULT: Final = "2 GiB"
_FILES: Final = ("images/*/*", "notes/*", "dwarf/*")
_FOLDERS: Final = ("target/*",)
MOST_HELD: Final = 32
_HELD: Final[OrderedDict[Path, IO[bytes]]] = OrderedDict()


@dataclass(frozen=True)
class _Entry:
    """A file, or a folder that goes as a whole."""

    used: float
    n_bytes: int
    path: Path


def limit_bytes() -> int:
    """Return how large the build folder may become.

    Raises:
        UsageError: the variable holds no size.
    """
    text = os.environ.get(VARIABLE) or DEFAULT
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(VARIABLE, text, expected="a size", next_step=f'write it like "{DEFAULT}"') from error


def hold(image: Path) -> bool:
    """Keep an image from being removed while this process may boot it; False when it is gone already.

    The last images that were asked for are held, so that a process that builds hundreds keeps descriptors.
    """
    if image in _HELD:
        _HELD.move_to_end(image)
        return image.exists()
    try:
        file = image.open("rb")
    except FileNotFoundError:
        return False
    with contextlib.suppress(OSError):  # a file system without locks: then it may be removed
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    _HELD[image] = file
    while len(_HELD) > MOST_HELD:
        _HELD.popitem(last=False)[1].close()
    return image.exists()


def trim(*keep: Path) -> None:
    """Remove what was used least recently until the folder is small enough; call it under a build's lock.

    Images that a process holds stay, as do the scripts that `fuzz` saved: they count, but are the user's.

    Args:
        keep: files, and files in folders, that are needed now.
    """
    root = resources.build_dir()
    entries = sorted(_entries(root), key=lambda entry: entry.used)
    excess = sum(entry.n_bytes for entry in entries) - limit_bytes()
    for entry in entries:
        if excess <= 0:
            return
        needed = any(path == entry.path or path.is_relative_to(entry.path) for path in keep)
        if not needed and _remove(entry.path):
            excess -= entry.n_bytes
            with contextlib.suppress(OSError):  # not empty
                if entry.path.parent.parent.name == "images":
                    entry.path.parent.rmdir()


def described() -> str:
    """Say how large the build folder is, of how much it may be."""
    used = sum(entry.n_bytes for entry in _entries(resources.build_dir()))
    return f"{used >> 20} MiB of at most {format_bytes(limit_bytes())} ({VARIABLE})"


def _entries(root: Path) -> Iterator[_Entry]:
    for pattern in _FILES:
        for file in root.glob(pattern):
            with contextlib.suppress(OSError):
                stat = file.stat()
                yield _Entry(stat.st_mtime, stat.st_blocks * 512, file)
    for pattern in _FOLDERS:
        for folder in root.glob(pattern):
            yield _folder(folder)


def _folder(folder: Path) -> _Entry:
    used, n_bytes = 0.0, 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                stat = os.lstat(os.path.join(place, name))  # noqa: PTH118  thousands of files
                used, n_bytes = max(used, stat.st_mtime), n_bytes + stat.st_blocks * 512
    return _Entry(used, n_bytes, folder)


def _remove(path: Path) -> bool:
    """Remove a file that nobody holds, or a folder that no build works in."""
    if path.is_dir():
        lock = resources.build_dir() / "locks" / f"build-{path.name}"
        if lock.exists() and _is_held(lock):
            return False
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    if _is_held(path):
        return False
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
