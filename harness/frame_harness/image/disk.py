"""Tells a disk without room from everything else that makes a build fail."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

from frame_harness.base.errors import HarnessError

# What libc, Rust and linkers say of ENOSPC and EDQUOT.
_WORDS: Final = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
_CODES: Final = (errno.ENOSPC, errno.EDQUOT)
LEAST_BYTES: Final = 1 << 20
"""With less a linker dies by a signal, without a word: it writes through a mapping of its output."""


class DiskFull(HarnessError):
    """There is no room where something must be written."""

    def __init__(self, folder: Path, said: str = "") -> None:
        usage = shutil.disk_usage(folder)
        super().__init__(
            "disk full", str(folder), detail=f"{usage.free >> 20} MiB free of {usage.total >> 20} MiB",
            next_step="make room there, or set FRAME_HARNESS_CACHE (builds) or TMPDIR to a folder with room",
            evidence=said,
        )  # fmt: skip


def no_room_for_build(folder: Path, said: str) -> DiskFull | None:
    """Return what to say of a build that failed for want of room; None when it failed for something else.

    Args:
        folder: where the build writes.
        said: all that its tools printed.
    """
    lines = [line.strip() for line in said.splitlines() if any(words in line for words in _WORDS)]
    if lines or shutil.disk_usage(folder).free < LEAST_BYTES:
        return DiskFull(folder, lines[0] if lines else "")
    return None


def no_room(error: OSError, folder: Path) -> DiskFull | None:
    """Return what to say of an error that came for want of room; None when it is another.

    Args:
        folder: named where the error names no file.
    """
    if error.errno not in _CODES:
        return None
    named = Path(error.filename).parent if isinstance(error.filename, str) else folder
    return DiskFull(named if named.is_dir() else folder, str(error))
