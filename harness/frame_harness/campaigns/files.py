"""Finds files by what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.digests import sha256_of
from frame_harness.base.disk import write_whole
from frame_harness.base.errors import HarnessError
from frame_harness.campaigns.tasks import Fetched, Wanted
from frame_harness.image import cache_limit

FOLDER: Final = "by-content"
"""Of the build folder: files that came from another machine."""


@dataclass
class _Sources:
    """Where files come from."""

    known: dict[str, Path] = field(default_factory=dict)
    connection: Connection | None = None


_SOURCES: Final = _Sources()


def path_of(sha256: str, name: str) -> Path:
    """Return a file with this content, on whatever machine the task runs.

    Raises:
        HarnessError: the plan of the campaign does not have it.
    """
    for path in (_SOURCES.known.get(sha256), _kept(sha256, name)):
        if path is not None and path.is_file() and cache_limit.hold(path) and sha256_of(path) == sha256:
            return path
    if _SOURCES.connection is None:
        raise _missing(sha256, name, "no such file")
    _SOURCES.connection.send(Wanted(sha256, name))
    answer: Fetched = _SOURCES.connection.recv()
    if answer.trouble:
        raise _missing(sha256, name, answer.trouble)
    cache_limit.hold(Path(answer.path))
    return Path(answer.path)


def keep(sha256: str, name: str, data: bytes) -> Path:
    """Keep a file that came from another machine; return where.

    Raises:
        HarnessError: it does not hold what was asked for, or there is no room.
    """
    if (got := hashlib.sha256(data).hexdigest()) != sha256:
        raise _missing(sha256, name, f"content {got}")
    path = _kept(sha256, name)
    write_whole(path, data, mode=0o555)
    return path


@contextmanager
def known(places: Mapping[str, Path]) -> Iterator[None]:
    """Let tasks of this process find files at their places for the time of a block."""
    before = dict(_SOURCES.known)
    _SOURCES.known.update(places)
    try:
        yield
    finally:
        _SOURCES.known.clear()
        _SOURCES.known.update(before)


def remember(sha256: str, place: Path) -> None:
    """Let tasks of this process find one more file, until the block of `known` ends."""
    _SOURCES.known[sha256] = place


def ask_through(connection: Connection, places: Mapping[str, str]) -> None:
    """Let the task of this process find files where the command has them, else ask for them."""
    _SOURCES.known.update({sha256: Path(place) for sha256, place in places.items()})
    _SOURCES.connection = connection


def _kept(sha256: str, name: str) -> Path:
    if any(part in ("", "..") or Path(part).name != part for part in (sha256, name)):  # from another machine
        raise HarnessError("file of a campaign", f"{sha256}/{name}", expected="the name of a file")
    return resources.build_dir() / FOLDER / sha256 / name


def _missing(sha256: str, name: str, actual: str) -> HarnessError:
    return HarnessError("file of a campaign", name, expected=f"content {sha256}", actual=actual)
