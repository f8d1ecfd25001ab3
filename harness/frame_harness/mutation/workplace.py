"""The folder that one worker builds mutants in: the subject lies at one path, whatever is built."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Final

from frame_harness.base.disk import write_whole, writing
from frame_harness.base.resources import build_dir
from frame_harness.image import cache_limit
from frame_harness.image.store import read_json, write_json

FOLDER: Final = "workplaces"
_SOURCES: Final = "memory"
"""The last folder of the path: that of a kernel's memory core."""


@dataclass(frozen=True)
class Workplace:
    """A folder that one process works in.

    Attributes:
        files: the subject's, by their paths in `sources`.
    """

    folder: Path
    files: Mapping[str, bytes]

    @property
    def sources(self) -> Path:
        """Where the subject lies."""
        return self.folder / _SOURCES

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the subject."""
        return tuple(self.sources / name for name in self.files)

    @cached_property
    def sha256(self) -> str:
        """A digest of the subject's own texts, with their names."""
        total = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            total.update(f"{name} {hashlib.sha256(text).hexdigest()} ".encode())
        return total.hexdigest()

    def text(self, name: str) -> bytes:
        """Return the subject's own text of a file."""
        return self.files[name]

    def write(self, name: str, text: bytes) -> None:
        """Give one file another text, and the others their own."""
        self.restore_texts(but=name)
        self._write(name, text)

    def restore_texts(self, *, but: str = "") -> None:
        """Give the files of the subject their own texts again; a time stamp stays where its text does."""
        for name, text in self.files.items():
            if name != but:
                self._write(name, text)

    def _write(self, name: str, text: bytes) -> None:
        path = self.sources / name
        if not path.is_file() or path.read_bytes() != text:
            write_whole(path, text)

    def kept(self, file: Path, sha256: str, name: str, *, most: int) -> Path:
        """Move a file to where it stays until some others have come; return its new path.

        Who reads it is not disturbed when it goes.
        """
        folder = self.folder / "kernels"
        path = folder / sha256[:24] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)
        os.utime(path.parent)
        others = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns, reverse=True)
        for old in others[most:]:
            shutil.rmtree(old)
        return path

    def note(self, name: str, of: str) -> str | None:
        """Return what was noted of something; None where nothing was, or of something else."""
        match read_json(self.folder / f"{name}.json"):
            case {"of": str(what), "is": str(value)} if what == of:
                return value
        return None

    def take_note(self, name: str, of: str, value: str) -> None:
        """Note something for the next one who works here."""
        write_json(self.folder / f"{name}.json", {"of": of, "is": value})


@contextlib.contextmanager
def claimed(files: Mapping[str, bytes]) -> Iterator[Workplace]:
    """Take the first place that no living process works in, with the files of a subject in it."""
    with contextlib.ExitStack() as stack:
        folder = next(path for path in _places() if _is_free(path, stack))
        stack.enter_context(cache_limit.used(folder))
        with writing(folder):
            place = Workplace(folder, files)
            for path in sorted(place.sources.rglob("*.rs")) if place.sources.is_dir() else []:
                if path.relative_to(place.sources).as_posix() not in files:
                    path.unlink()  # of another subject
            place.restore_texts()
        yield place


def _places() -> Iterator[Path]:
    for number in count():
        yield build_dir() / FOLDER / f"{number:02}"


def _is_free(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Take the lock of a place, which goes with the process; tell whether nobody had it."""
    lock = build_dir() / cache_limit.LOCKS / f"{FOLDER}-{folder.name}"
    with writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    stack.enter_context(file)
    return True
