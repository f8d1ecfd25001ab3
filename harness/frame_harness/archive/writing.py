"""Writes an archive: begun before the run, failures while it goes on, the evidence at its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from frame_harness.archive import files
from frame_harness.archive.records import Begun, FailureRecord, Header, SourceCopy
from frame_harness.base.digests import sha256_of
from frame_harness.base.disk import writing
from frame_harness.base.errors import UsageError
from frame_harness.base.paths import real
from frame_harness.base.record import Record
from frame_harness.judge.evidence import encode

INSTEAD: Final = "name another folder"
_LONGEST: Final = 120


def require_room(folder: Path, read: Iterable[Path | None] = ()) -> None:
    """Require a folder to be one that an archive may be written to: a new one, an empty one, or an archive.

    Args:
        read: files that the run reads, none of which may lie in a folder that it empties.
    Raises:
        UsageError: it is something else.
    """
    resolved = real(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError("--out", str(folder), expected="a folder", actual="a file", next_step=INSTEAD)
    for path in filter(None, read):
        if real(path).is_relative_to(resolved):
            raise UsageError("--out", str(folder), detail=f"the run itself reads {path}", next_step=INSTEAD)
    if not folder.is_dir():
        return
    with _named(folder):
        names = sorted(path.name for path in folder.iterdir())
    if names and not {files.HEADER, files.BEGUN} & set(names):
        raise UsageError(
            "--out", str(folder), expected="an empty folder, or an archive of an earlier run",
            actual=f"a folder with {names[0]}", next_step=INSTEAD,
        )  # fmt: skip


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a folder for the time of a block, made where it is not there; the lock goes with the process.

    It is the folder itself that is locked: an archive has no file more for it.

    Raises:
        Unwritable: there is no room, or no leave.
        UsageError: another run has it, or it cannot be made.
    """
    with _named(folder), writing(folder, INSTEAD):
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(number)
        raise UsageError(
            "--out", str(folder), detail="another run is writing to it",
            next_step="wait until that ends, or name another folder",
        ) from error  # fmt: skip
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(number)


def begin(folder: Path, command: tuple[str, ...]) -> Begun:
    """Make a folder ready: what an earlier run left there goes, since it would be taken for this one's.

    Raises:
        Unwritable: there is no room, or no leave.
        UsageError: it cannot be made.
    """
    with _named(folder), writing(folder, INSTEAD):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (files.SUMS, files.HEADER):
            (folder / name).unlink(missing_ok=True)
        for report in folder.glob(f"{files.REPORTS}*"):
            report.unlink()
        for name in (files.FAILURES, files.IMAGES, files.SOURCES):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
        begun = Begun(command=command, at=datetime.now().astimezone().isoformat(timespec="seconds"))
        _write(folder / files.BEGUN, begun)
    return begun


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Say what is wrong with a folder that the user named."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            "--out", str(folder), detail=f"cannot be used: {error.strerror}", next_step=INSTEAD
        ) from error


class FailureWriter:
    """One failing check's folder while it is filled; it appears under its name when it is whole."""

    def __init__(self, archive: Path, number: int, words: Iterable[str]) -> None:
        """Make the folder.

        Args:
            number: of the check, unlike that of any other in this run.
            words: that name it.
        Raises:
            OSError: it cannot be made.
        """
        self.archive = archive
        self.name = _named_after(number, words)
        self.folder = archive / files.FAILURES / f"{files.PART}{self.name}"
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def finish(self, record: FailureRecord) -> None:
        """Write the record; the folder is whole then."""
        _write(self.folder / files.FAILURE, record)
        self.folder.rename(self.folder.with_name(self.name))


def _named_after(number: int, words: Iterable[str]) -> str:
    """`57-test_page_table_is_zeroed-microvm-release`, in signs that a shell leaves as they are."""
    text = "-".join(words)
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in text)
    return f"{number}-{safe[:_LONGEST]}"


def add_image(archive: Path, elf: Path, sha256: str) -> None:
    """Keep an image under its sum, once: a hard link where that is possible, since it never changes.

    Raises:
        OSError: there is no room, or no leave.
    """
    kept = archive / files.IMAGES / f"{sha256}.elf"
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(elf, kept)
    except FileExistsError:
        pass  # another worker was faster
    except OSError:
        _copy(elf, kept)


def _copy(path: Path, kept: Path) -> None:
    """Copy a file whole, or leave nothing."""
    part = kept.with_name(f"{files.PART}{os.getpid()}")
    try:
        shutil.copyfile(path, part)
        part.replace(kept)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def add_sources(archive: Path, paths: Iterable[Path]) -> tuple[SourceCopy, ...]:
    """Keep a subject's files, each where it lies beside the others.

    Raises:
        OSError: one cannot be read or written.
    """
    found = sorted(set(paths))
    base = Path(os.path.commonpath([path.parent for path in found])) if found else Path()
    kept = []
    for path in found:
        name = Path(files.SOURCES) / path.relative_to(base)
        copy = archive / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        _copy(path, copy)
        kept.append(SourceCopy(path=str(path), file=str(name), sha256=sha256_of(copy)))
    return tuple(kept)


def finish(folder: Path, header: Header) -> None:
    """Write the evidence with the sums of all files; the archive is whole then.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    with writing(folder, INSTEAD):
        for part in (folder / files.FAILURES).glob(f"{files.PART}*"):
            shutil.rmtree(part)  # of a worker that died
        for part in (folder / files.IMAGES).glob(f"{files.PART}*"):
            part.unlink()
        _write(folder / files.HEADER, header)
        sums = files.written_sums(folder)
        (folder / files.SUMS).write_text(sums, encoding="utf-8", errors="surrogateescape")


def _write(path: Path, record: Record) -> None:
    part = path.with_name(f"{files.PART}{path.name}")
    part.write_text(encode(record) + "\n", encoding="utf-8")
    part.replace(path)
