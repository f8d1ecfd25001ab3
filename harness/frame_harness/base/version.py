"""Says which version of the package a process has."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.errors import HarnessError

_PACKAGE: Final = Path(__file__).resolve().parents[1]


@functools.cache
def version() -> str:
    """Return the number of the version with a digest of the code: two clones of one number may differ.

    To the code belong the suite, which tasks make checks of, and the machines that checks name.
    """
    total = hashlib.sha256()
    suite, machines = _there(resources.suite_dir), _there(resources.machines_dir)
    files = (*_files_of(_PACKAGE, "*.py"), *_files_of(suite, "*.py"), *_files_of(machines, "*.toml"))
    for name, file in files:
        total.update(f"{name}\n".encode() + file.read_bytes())
    return f"{number()} with code {total.hexdigest()[:8]}"


def _files_of(folder: Path | None, pattern: str) -> Iterator[tuple[str, Path]]:
    if folder is None:
        return
    for file in sorted(folder.rglob(pattern)):
        if "_data" not in (name := file.relative_to(folder)).parts:
            yield str(name), file


def _there(find: Callable[[], Path]) -> Path | None:
    """Return a folder; a package without it is another version, and says so where it is asked."""
    try:
        return find()
    except HarnessError:
        return None


def number() -> str:
    """The number of the version alone."""
    try:
        return metadata.version("frame-harness")
    except metadata.PackageNotFoundError:
        return "not installed"
