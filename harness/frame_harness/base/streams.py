"""Streams whose reader may leave before everything is said."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

_GONE = (errno.EPIPE, errno.EIO)  # a pipe without its reader, a terminal that was closed


class PatientStream(io.TextIOWrapper):
    """Discards output once its reader has closed the pipe: `check … | head -1` keeps its status."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._silence()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._silence()

    def _silence(self) -> None:
        """Let the descriptor lead nowhere, then empty the buffers into it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()


def survive_closed_pipes() -> None:
    """Replace the two output streams of this process; those that lead to no descriptor stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):  # a stream in memory has no descriptor
                stream.fileno()
                setattr(sys, name, _patient(stream))


def _patient(stream: io.TextIOWrapper) -> PatientStream:
    return PatientStream(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
