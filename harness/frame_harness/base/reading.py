"""Reads files that a user names, whatever lies there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_AT_ONCE: Final = 1 << 16


def bytes_of(path: Path) -> bytes:
    """Read a file, or a pipe that somebody writes to, as `<(…)` of a shell is.

    Raises:
        OSError: it cannot be read; a pipe without a writer or a device would be waited for, maybe for ever.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        begins = _begin_of(number)
        file = os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
    with file:
        return begins + file.read()


def text_of(path: Path) -> str:
    """Read a file as `bytes_of` does, as UTF-8 with line ends of any kind.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text.
    """
    return bytes_of(path).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _begin_of(number: int) -> bytes:
    """What a pipe holds by now, which is open and is waited for from here on; nothing of a file."""
    status = os.fstat(number)
    if stat.S_ISFIFO(status.st_mode):
        begins = _in_pipe(number)
        os.set_blocking(number, True)
        return begins
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode) and status.st_rdev != Path(os.devnull).stat().st_rdev:
        raise OSError(errno.EINVAL, "it is a device, not a file")
    return b""


def _in_pipe(number: int) -> bytes:
    try:
        begins = os.read(number, _AT_ONCE)
    except BlockingIOError:
        return b""  # its writer has not written yet
    if not begins:  # whether it had a writer, which ended, or never had one
        raise OSError(errno.ENXIO, "nothing was written to the pipe")
    return begins
