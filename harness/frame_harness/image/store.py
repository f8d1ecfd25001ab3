"""Keeps every built ELF under a name that never changes its meaning."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from frame_harness.base import resources
from frame_harness.base.commands import Say, SlowStep
from frame_harness.base.disk import write_whole, writing
from frame_harness.base.errors import HarnessError
from frame_harness.image import cache_limit

_TIMES: Final = 3
"""Another process that makes room takes a file once, if it chose it before it was there again."""


def keep_elf(built: Path) -> tuple[Path, str]:
    """Copy an ELF to a path that is derived from its bytes; return that path with the bytes' sha256.

    A guest that runs from it is not disturbed by any later build, and nobody removes it (`cache_limit.hold`).

    Raises:
        Unwritable: there is no room, or no leave.
        HarnessError: somebody removes it as soon as it is there.
    """
    data = built.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path = elf_path(digest)
    for _ in range(_TIMES):
        if not _has(path, data):
            write_whole(path, data, mode=0o555)
        if cache_limit.hold(path):
            return path, digest
    raise HarnessError(
        "build folder", str(path), expected="a file that stays", actual="one that is removed each time",
        next_step="see what removes files there, then run the same command",
    )  # fmt: skip


def _has(path: Path, data: bytes) -> bool:
    """Tell whether a file is whole: where the host lost its power, one is there that never got its bytes."""
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def n_bytes_of(path: Path) -> int | None:
    """Return how long a file is; None where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def elf_path(digest: str) -> Path:
    """Return where the ELF with this sha256 is kept."""
    return resources.build_dir() / "images" / digest[:24] / built_name()


def built_name() -> str:
    """Return the name of the shim's binary."""
    return "kernel_shim"


def note_path(key: str) -> Path:
    """Return where the note about one build (what went in, what came out) is kept."""
    return resources.build_dir() / "notes" / f"{key}.json"


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write a value so that a reader sees the old text or the new one, never a part."""
    write_whole(path, json.dumps(value, separators=(",", ":")).encode())


def content_of(files: Iterable[Path]) -> str:
    """Return one digest of files, their names and contents; a missing one is a content of its own."""
    total = hashlib.sha256()
    for file in files:
        try:
            content = hashlib.sha256(file.read_bytes()).digest()
        except OSError:
            content = b"missing"
        total.update(os.fsencode(file) + b"\0" + content)
    return total.hexdigest()


@contextlib.contextmanager
def locked(name: str, *, say: Say | None = None) -> Iterator[None]:
    """Hold a lock that other processes respect; it goes when the holder dies, however it dies."""
    path = resources.build_dir() / cache_limit.LOCKS / name
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with SlowStep("waiting for another build", say):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
