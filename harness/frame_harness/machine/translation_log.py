"""QEMU's log of the guest code that it translates: each block is written there before it first runs.

The log costs no time while code runs (`-d in_asm`). What runs again is not logged again, until QEMU throws
its translations away, as `loadvm` does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

_PIECE: Final = 1 << 20
# `in_asm` are the blocks. `int` are the exceptions: behind an instruction that faults, a block did not run.
_ITEMS: Final = "in_asm,int"

Ranges = tuple[tuple[int, int], ...]
"""[start, end) in virtual addresses."""


@dataclass(eq=False)
class TranslationLog:
    """The log of one QEMU, in a nameless file in memory that QEMU inherits; it outlives QEMU."""

    ranges: Ranges
    fd: int
    ended: bool = False
    """Whether nothing more will be written."""
    _read: int = 0

    @property
    def arguments(self) -> list[str]:
        """The options for QEMU's command line; none where there is no range to log."""
        if not self.ranges:
            return []  # to QEMU, no range means all code
        shown = ",".join(f"{start:#x}+{end - start:#x}" for start, end in self.ranges)
        return ["-d", _ITEMS, "-D", f"/dev/fd/{self.fd}", "-dfilter", shown]

    def read(self) -> bytes:
        """Return what was written since the last call; QEMU should be paused, or gone."""
        parts = []
        while part := os.pread(self.fd, _PIECE, self._read):
            parts.append(part)
            self._read += len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Note that nothing more will be written: QEMU is gone, or never came up."""
        self.ended = True

    def close(self) -> None:
        """Give the memory back, once QEMU is gone."""
        os.close(self.fd)


class TranslationLogs:
    """The logs of all guests of one kind of image, each opened when its QEMU is started."""

    def __init__(self, ranges: Ranges) -> None:
        """Args: ranges: of code; blocks that begin elsewhere are left out."""
        self._ranges = ranges
        self._open: list[TranslationLog] = []

    def open(self) -> TranslationLog:
        """Return the log for a QEMU that is about to start."""
        log = TranslationLog(self._ranges, os.memfd_create("translation-log", os.MFD_CLOEXEC))
        self._open.append(log)
        return log

    def read(self) -> list[bytes]:
        """Return what was written since the last call, for each QEMU; forget those that are gone."""
        found = [log.read() for log in self._open]
        for log in self._open:
            if log.ended:
                log.close()
        self._open = [log for log in self._open if not log.ended]
        return [text for text in found if text]
