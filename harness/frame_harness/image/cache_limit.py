"""Keeps the build folder below a size: what was used least recently goes first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from frame_harness.base import resources
from frame_harness.base.disk import Unwritable, write_whole, writing
from frame_harness.base.errors import UsageError
from frame_harness.base.paths import real
from frame_harness.base.units import format_bytes, parse_bytes

VARIABLE: Final = "FRAME_HARNESS_CACHE_LIMIT"
DEFAULT: Final = "4 GiB"
BUILT: Final = ("images/*/*", "notes/*", "dwarf/*", "toolchains/*", "target/*", "ir/*/*", "cargo/*",
                "versions/*", "recordings/*", "workplaces/*", "mutated/*", "mutation/*",
                "by-content/*/*", "dask/*")  # fmt: skip
"""What can be built again, each as a whole: a file, or a folder with all that is in it."""
KEPT: Final = ("scripts/*", "runs/*", "campaigns/*")
"""What counts and stays: it is the user's."""
NOTED: Final = ("last/*",)
"""What counts and cannot be built again, but is of no use after a while: it makes no room, it only ages."""
LOCKS: Final = "locks"
"""The folder of files that are empty, or of a few bytes."""
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)
"""What a file system without locks says; the last one NFS, of a file that is open for reading alone."""
KEEP_S: Final = 7 * 24 * 3600.0
_DROPPED: Final = ("images", "notes", "dwarf", "toolchains", "cargo", "versions")
"""What goes when nobody used it for a week, however much room there is."""
KEEP_NOTED_S: Final = 13 * KEEP_S
LOOK_AGAIN_S: Final = 600.0
"""How long a folder that was found to be less than half as large as it may be is not looked at again."""
MOST_HELD: Final = 32
_HELD: Final[OrderedDict[Path, IO[bytes]]] = OrderedDict()
_FOLDERS: Final = contextlib.ExitStack()


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
    file = _HELD.pop(image, None)
    if file is None or not _is_at(file, image):
        if file is not None:
            file.close()
        try:
            file = image.open("rb")
        except FileNotFoundError:
            return False
        _share(file)
        if not _is_at(file, image):  # removed before it was shared
            file.close()
            return False
    _HELD[image] = file
    while len(_HELD) > MOST_HELD:
        _HELD.popitem(last=False)[1].close()
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is the one that has its name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def used(*folders: Path) -> Iterator[None]:
    """Keep folders of the build folder from being removed by any process, and note that they are in use.

    It goes with the process, however that ends.
    """
    with contextlib.ExitStack() as stack:
        for folder in folders:
            lock = _lock_of(folder)
            if lock is not None:
                with writing(lock):
                    lock.parent.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(lock.open("ab"))
                _share(file)
                touch(lock)
        yield


def hold_folder(folder: Path) -> None:
    """Keep a folder of the build folder from being removed as long as this process lives."""
    _FOLDERS.enter_context(used(folder))


def touch(path: Path) -> None:
    """Note that a file is in use now, where that can be noted: the folder may be somebody else's."""
    with contextlib.suppress(OSError):
        os.utime(path)


def trim(*keep: Path) -> None:
    """Remove what nobody used for a week, then what was used least recently until the folder is small enough.

    What a living process holds or works in stays. To look at all files takes a tenth of a build: a folder
    with much room is looked at once in a while.

    Args:
        keep: files, and files in folders, that are needed now.
    """
    now = time.time()
    if _has_much_room(now, keep):
        return
    entries = sorted(_entries(BUILT), key=lambda entry: entry.used)
    noted = list(_entries(NOTED))
    n_bytes = sum(entry.n_bytes for entry in [*entries, *noted, *_entries(KEPT)])
    excess = n_bytes - limit_bytes()
    for entry in noted:
        if entry.used < now - KEEP_NOTED_S:
            _remove(entry.path)
    oldest = now - KEEP_S
    for entry in entries:
        old = entry.used < oldest and _kind(entry.path) in _DROPPED
        needed = any(path == entry.path or path.is_relative_to(entry.path) for path in keep)
        if (old or excess > 0) and not needed and _remove(entry.path):
            excess -= entry.n_bytes
    _note_size(now, n_bytes)


def _has_much_room(now: float, added: Iterable[Path]) -> bool:
    """Tell whether what was found a short while ago, and written since, is less than half of the limit.

    Args:
        added: is taken for what was written now, and is noted with what was found.
    """
    try:
        looked, found = _size_file().read_text(encoding="ascii").split()
        at, n_bytes = float(looked), int(found)
    except (OSError, ValueError):
        return False
    n_bytes += sum(_measured(path)[1] for path in added)
    if not (0 <= now - at < LOOK_AGAIN_S and n_bytes < limit_bytes() / 2):
        return False
    _note_size(at, n_bytes)
    return True


def _note_size(looked: float, n_bytes: int) -> None:
    """Note when somebody looked, and how much there is by what is known since."""
    with contextlib.suppress(Unwritable):  # then the next build looks again
        write_whole(_size_file(), f"{looked} {n_bytes}".encode("ascii"))


def _size_file() -> Path:
    return resources.build_dir() / LOCKS / "size"


def described() -> str:
    """Say how large the build folder is, of how much it may be."""
    n_bytes = sum(entry.n_bytes for entry in _entries((*BUILT, *NOTED, *KEPT)))
    return f"{n_bytes >> 20} MiB of at most {format_bytes(limit_bytes())} ({VARIABLE})"


def _entries(patterns: tuple[str, ...]) -> Iterator[_Entry]:
    root = resources.build_dir()
    for pattern in patterns:
        for path in root.glob(pattern):
            # A link is no folder: what it leads to is not the harness's to count or to remove.
            yield _Entry(*_measured(path), path)


def _measured(path: Path) -> tuple[float, int]:
    """Return when a file, or anything in a folder, was used, and how much room it takes.

    Cargo has many files under two names; each takes its room once.
    """
    last, rooms = 0.0, dict[tuple[int, int], int]()
    for file in _parts(path):
        with contextlib.suppress(OSError):
            found = os.lstat(file)
            rooms[found.st_dev, found.st_ino] = found.st_blocks * 512
            if not stat.S_ISDIR(found.st_mode):
                last = max(last, found.st_mtime)
    return last, sum(rooms.values())


def _parts(path: Path) -> Iterator[str | Path]:
    """Yield a file; or a folder with all that is in it, and the file that notes its use."""
    yield path
    if path.is_symlink() or not path.is_dir():
        return
    for place, folders, names in os.walk(path):
        # Of ten thousand files: to make a `Path` of each takes longer than to look at it.
        yield from (os.path.join(place, name) for name in (*folders, *names))  # noqa: PTH118
    if (lock := _lock_of(path)) is not None:
        yield lock


def _kind(path: Path) -> str:
    return path.relative_to(resources.build_dir()).parts[0]


def _lock_of(folder: Path) -> Path | None:
    """Return the file whose lock says that a folder is in use; None of one that lies somewhere else."""
    root = resources.build_place()
    if ".." in folder.parts or not folder.is_relative_to(root):
        folder, root = real(folder), real(root)
    if not folder.is_relative_to(root):
        return None
    return root / LOCKS / f"use-{'-'.join(folder.relative_to(root).parts)}"


def _remove(path: Path) -> bool:
    """Remove a file that nobody holds, or a folder that nobody works in; tell whether it is gone.

    What cannot be told is in use: of another user's there may be locks that cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        try:
            free = all(_take(lock, stack) for lock in _locks(path))
        except OSError:
            free = False
        if not free:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if path.parent.parent.name == "images":
            with contextlib.suppress(OSError):  # not empty
                path.parent.rmdir()
    return not path.exists()


def _locks(path: Path) -> list[Path]:
    """Return the files of which one is locked while a path is in use."""
    if not path.is_dir():
        return [path]
    own = [lock for lock in [_lock_of(path)] if lock is not None]
    for lock in own:  # who begins to work there meanwhile must find it taken
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.open("ab").close()
    return [*own, *path.glob("**/.cargo-lock")]  # cargo's: it may run there without the harness


def _take(lock: Path, stack: contextlib.ExitStack) -> bool:
    """Keep everybody else from a lock until the stack ends; tell whether nobody had it."""
    try:
        file = stack.enter_context(lock.open("rb"))
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _share(file: IO[bytes]) -> None:
    """Take part in a lock; who removes what it stands for has it for a moment."""
    with contextlib.suppress(OSError):  # a file system without locks: then it may be removed
        fcntl.flock(file, fcntl.LOCK_SH)
