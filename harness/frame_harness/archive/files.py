"""Names of the files in an archive, and the sums that show whether they are what was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from frame_harness.base.digests import sha256_of
from frame_harness.base.errors import HarnessError, UsageError

HEADER: Final = "archive.json"
BEGUN: Final = "begun.json"
SUMS: Final = "SHA256SUMS"
"""As sha256sum(1) writes and checks it; reports are not in it, since they can be made again."""
FAILURE: Final = "failure.json"
IMAGES: Final = "images"
SOURCES: Final = "sources"
FAILURES: Final = "failures"
REPORTS: Final = "report."
"""Begins the names of the reports."""
PART: Final = ".part-"
"""Begins the names of folders that are being written."""


class NoArchive(UsageError):
    """A folder is no archive, or that of a run that did not come to its end."""


class DamagedArchive(HarnessError):
    """Something in an archive is not what was written."""


def own_files(folder: Path | None) -> tuple[Path, ...]:
    """Files and folders of an archive that no report may be, or lie in; none without an archive."""
    names = HEADER, BEGUN, SUMS, FAILURES, IMAGES, SOURCES
    return tuple(folder / name for name in names) if folder else ()


def contents(folder: Path) -> Iterator[str]:
    """Names of all files that belong to an archive's evidence, relative to it, in order."""
    for top in (FAILURES, IMAGES, SOURCES):
        for place, folders, names in os.walk(folder / top):
            folders.sort()
            yield from (str((Path(place) / name).relative_to(folder)) for name in sorted(names))


def written_sums(folder: Path) -> str:
    """The text of `SHA256SUMS`; an image's name is its sum already."""
    names = [HEADER, *contents(folder)]
    return "".join(f"{_known_sum(name) or sha256_of(folder / name)}  {name}\n" for name in names)


def _known_sum(name: str) -> str:
    path = Path(name)
    return path.stem if path.parent.name == IMAGES else ""


def read_sums(folder: Path) -> dict[str, str]:
    """By name the sum that a file must have.

    Raises:
        DamagedArchive: there is no list of sums, or it is none.
    """
    path = folder / SUMS
    if path.exists() and not path.is_file():
        raise damaged(path, "a list of SHA-256 sums", "no regular file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, "a list of SHA-256 sums", _said(error)) from error
    parts = [line.partition("  ") for line in lines]
    sums = {name: value for value, _, name in parts if name}
    if HEADER not in sums or len(sums) != len(lines):
        raise damaged(path, f"a list of SHA-256 sums with {HEADER}", "another text")
    return sums


def require_sum(folder: Path, name: str, expected: str) -> None:
    """Require a file to be what was written.

    Raises:
        DamagedArchive: it is not there, or holds something else.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise damaged(folder / SUMS, "names of files in the folder", name)
    if path.exists() and not path.is_file():
        raise damaged(path, "a regular file", "something else")
    try:
        found = sha256_of(path)
    except OSError as error:
        raise damaged(path, "a readable file", _said(error)) from error
    if found != expected:
        raise damaged(path, f"SHA-256 {expected[:12]}…", f"{found[:12]}…")


def damaged(path: Path, expected: str, actual: str) -> DamagedArchive:
    """What to say of a file that is not what was written."""
    todo = "copy the folder again from where it was made, or judge the subject again"
    return DamagedArchive("damaged archive", str(path), expected=expected, actual=actual, next_step=todo)


def _said(error: Exception) -> str:
    return error.strerror or "nothing" if isinstance(error, OSError) else "bytes that are no text"
