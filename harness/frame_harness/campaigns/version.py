"""Says which version of the package a process has."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.base.errors import HarnessError

_PACKAGE: Final = Path(__file__).resolve().parents[1]


@functools.cache
def version() -> str:
    """Return the number of the version with a digest of the code: two clones of one number may differ.

    The code is that of the package and that of the suite, which tasks make checks of.
    """
    total = hashlib.sha256()
    for name, file in (*_code_of(_PACKAGE), *_code_of(_suite())):
        total.update(f"{name}\n".encode() + file.read_bytes())
    return f"{_number()} with code {total.hexdigest()[:8]}"


def _code_of(folder: Path | None) -> Iterator[tuple[str, Path]]:
    if folder is None:
        return
    for file in sorted(folder.rglob("*.py")):
        if "_data" not in (name := file.relative_to(folder)).parts:
            yield str(name), file


def _suite() -> Path | None:
    """Return where the suite is; a package without one is another version, and says so where it is asked."""
    try:
        return resources.suite_dir()
    except HarnessError:
        return None


def _number() -> str:
    try:
        return metadata.version("frame-harness")
    except metadata.PackageNotFoundError:
        return "not installed"
