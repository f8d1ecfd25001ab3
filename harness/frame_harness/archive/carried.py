"""Carries what failing checks left from the archive of one machine into that of another."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from frame_harness.archive.files import FAILURES, PART
from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record

_PROGRAM: Final = 0o755


class CarriedFile(Record, frozen=True, kw_only=True):
    """A file of a failing check's folder: `name` begins with that folder, `data` is deflated (zlib)."""

    name: str
    data: bytes
    is_program: bool = False


def carried(archive: Path) -> tuple[CarriedFile, ...]:
    """Return the files of all folders that are whole; images are known by their sums wherever they are built.

    Raises:
        OSError: one cannot be read.
    """
    return tuple(_read(archive / FAILURES))


def _read(place: Path) -> Iterator[CarriedFile]:
    folders = sorted(place.iterdir()) if place.is_dir() else []
    for folder in folders:
        if folder.name.startswith(PART):
            continue  # of a check that came to no end
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield CarriedFile(
                    name=path.relative_to(place).as_posix(), data=zlib.compress(path.read_bytes()),
                    is_program=bool(path.stat().st_mode & 0o100),
                )  # fmt: skip


def add_carried(archive: Path, files: Iterable[CarriedFile]) -> None:
    """Put folders of failing checks into an archive; each appears under its name when it is whole.

    Raises:
        OSError: there is no room, or no leave.
        HarnessError: a file would lie elsewhere.
    """
    place = archive / FAILURES
    of_folder: dict[str, list[CarriedFile]] = {}
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise HarnessError("evidence of a worker", file.name, expected="a file in a folder of a check")
        of_folder.setdefault(path.parts[0], []).append(file)
    for name, inside in of_folder.items():
        part = place / f"{PART}{name}"
        shutil.rmtree(part, ignore_errors=True)
        for file in inside:
            copy = part.joinpath(*PurePosixPath(file.name).parts[1:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(_inflated(file))
            if file.is_program:
                copy.chmod(_PROGRAM)
        part.rename(place / name)


def _inflated(file: CarriedFile) -> bytes:
    try:
        return zlib.decompress(file.data)
    except zlib.error as error:
        raise HarnessError("evidence of a worker", file.name, detail=f"is damaged: {error}") from error
