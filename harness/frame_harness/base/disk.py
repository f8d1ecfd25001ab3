"""Tells what cannot be written from everything else that goes wrong, with the reason."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.commands import Finished, HowFar, Say, run, tell_once
from frame_harness.base.errors import HarnessError
from frame_harness.base.held_folder import PREFIX, held_folder

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_OF_WRITING: Final = (*_FULL, errno.EROFS)
"""What nothing but writing ends with."""
_REFUSED: Final = (errno.EACCES, errno.EPERM)
_OF_MAKING: Final = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""What making a folder ends with where there can be none, such as in /proc."""
# What libc, Rust and linkers say of them. That a file may not be read or run is another matter.
_SAID: Final = (
    (errno.ENOSPC, re.compile(r"No space left on device|os error 28\b")),
    (errno.EDQUOT, re.compile(r"Disk quota exceeded|os error 122\b")),
    (errno.EROFS, re.compile(r"Read-only file system|os error 30\b")),
    (errno.EACCES, re.compile(r"(?:creat|writ|lock|copy|output).*(?:Permission denied|os error 13\b)")),
)
LEAST_BYTES: Final = 1 << 20
"""With less a linker dies by a signal, without a word: it writes through a mapping of its output."""


class Unwritable(HarnessError):
    """Something cannot be written where it must be.

    Args:
        said: by the tool that could not.
        instead: what else the user may do; else it follows from the place.
    """

    def __init__(self, path: Path, code: int, *, said: str = "", instead: str = "") -> None:
        self.path, self.code, self.said = path, code, said
        do = "make room there, or " if code in _FULL else "get leave to write there, or "
        super().__init__(
            "disk full" if code in _FULL else "cannot be written",
            str(path),
            detail=_why(path, code),
            next_step=f"{'' if code in _OF_MAKING else do}{instead or _instead(path)}",
            evidence=said,
        )


def unwritable(error: OSError) -> Unwritable | None:
    """Return what to say of an error that only writing ends with; None when it is another."""
    if error.errno not in _OF_WRITING:
        return None
    return Unwritable(_named(error) or Path(tempfile.tempdir or "/tmp"), error.errno)


def _while_writing(error: OSError, path: Path, instead: str) -> Unwritable | None:
    """Return the same of an error that came while a file was written, or several in a folder were."""
    file = _named(error) or path
    place = path if path.is_dir() else path.parent
    there = file.is_relative_to(place) or place.is_relative_to(file)
    if there and error.errno in (*_OF_WRITING, *_REFUSED):
        return Unwritable(file if path.is_dir() else path, error.errno, instead=instead)
    return unwritable(error)


def _named(error: OSError) -> Path | None:
    """Return the file that an error is about: of two, the one that was to be made."""
    name = error.filename2 or error.filename
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None


@contextlib.contextmanager
def writing(path: Path, instead: str = "") -> Iterator[None]:
    """Name what cannot be written while a file is, or several in a folder are.

    Args:
        instead: what the user may do but make room; else it follows from the place.
    Raises:
        Unwritable: there is no room, or no leave.
    """
    try:
        yield
    except OSError as error:
        if (told := _while_writing(error, path, instead)) is None:
            raise
        raise told from error


def make_folder(folder: Path, instead: str = "") -> None:
    """Make a folder with all that it lies in, unless it is there.

    Args:
        instead: what the user may do but make room; else it follows from the place.
    Raises:
        Unwritable: there is no room, or no leave, or no folder can be there.
    """
    try:
        with writing(folder, instead):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in _OF_MAKING:
            raise
        raise Unwritable(folder, error.errno, instead=instead) from error


def new_folder(place: Path, prefix: str = "") -> Path:
    """Make a folder that is named by the time; what begins in the same second has another one.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    name = prefix + datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    with writing(place):
        place.mkdir(exist_ok=True)
        for number in range(1, 1000):
            folder = place / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise AssertionError("a thousand folders in one second")


@contextlib.contextmanager
def scratch(purpose: str = "") -> Iterator[Path]:
    """Make a folder for the time of a block; what cannot be written in it is named, as is the folder.

    Where this process is killed, the next one that makes such a folder beside it removes it.

    Args:
        purpose: a word for its name.
    Raises:
        Unwritable: there is no room, or no leave.
    """
    place, prefix = scratch_place(), f"{PREFIX}{purpose}-" if purpose else PREFIX
    with contextlib.ExitStack() as stack:
        with writing(place):
            folder = stack.enter_context(held_folder(place, prefix))
        try:
            with writing(folder):
                yield folder
        except Unwritable as error:
            if not error.path.is_relative_to(folder):
                raise
            # The rest of its name is another each time: one cause is to read the same each time.
            file = place / f"{prefix}*" / error.path.relative_to(folder)
            raise Unwritable(file, error.code, said=error.said) from error


def scratch_place() -> Path:
    """Return the folder for temporary files.

    Raises:
        HarnessError: none can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        todo = "make room, or set TMPDIR to a folder with room"
        raise HarnessError("temporary files", detail=str(error.strerror), next_step=todo) from error


def run_writing(
    folder: Path,
    argv: Sequence[str | Path],
    *,
    what: str,
    say: Say | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    how_far: HowFar | None = None,
) -> Finished:
    """Run a tool that writes into a folder.

    Raises:
        Unwritable: the tool failed because it could not.
    """
    finished = run(argv, what=what, say=say, cwd=cwd, env=env, how_far=how_far)
    if finished.status != 0 and (error := refused(folder, finished.out + finished.err)):
        raise error
    return finished


def refused(folder: Path, said: str) -> Unwritable | None:
    """Return what to say of a tool that could not write; None when it failed for something else.

    Args:
        folder: where it writes, beside its temporary files.
        said: all that it printed.
    """
    for line in map(_message, said.splitlines()):
        for code, words in _SAID:
            if words.search(line):
                return Unwritable(_fullest(folder) if code == errno.ENOSPC else folder, code, said=line)
    fullest = _fullest(folder)
    return Unwritable(fullest, errno.ENOSPC) if shutil.disk_usage(fullest).free < LEAST_BYTES else None


def _fullest(folder: Path) -> Path:
    """Return a folder, or the one for temporary files where that has less room."""
    folders = [one for one in (folder, scratch_place()) if one.is_dir()]
    return min(folders, key=lambda one: shutil.disk_usage(one).free)


def tell(error: Unwritable) -> None:
    """Say once, for all files of one cause, that something is not kept for the next time."""
    text = f"{error.summary}: so it is made again each time; next: {error.next_step}"
    tell_once(text, cause=f"{error.what}: {error.next_step}")


def _why(path: Path, code: int) -> str:
    if code == errno.ENOSPC:
        return _room(path)
    return f"no folder can be made there: {os.strerror(code)}" if code in _OF_MAKING else os.strerror(code)


def _room(path: Path) -> str:
    folder = next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))
    usage = shutil.disk_usage(folder)
    return f"{usage.free >> 10} KiB free of {usage.total >> 10} KiB"


def _instead(path: Path) -> str:
    if path.is_relative_to(resources.build_place()):
        return "set FRAME_HARNESS_CACHE to another folder"
    if path.is_relative_to(tempfile.tempdir or "/nowhere"):
        return "set TMPDIR to another folder"
    return "name another place"


def _message(line: str) -> str:
    """Return what a tool says in a line that may be JSON: that of rustc, or cargo's with rustc's in it."""
    try:
        found = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(found, dict):
        return line.strip()
    while isinstance(found, dict):
        found = found.get("message", "")
    return str(found)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write bytes so that a reader sees the old file or the new one, never a part.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
