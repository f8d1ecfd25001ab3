"""Streams whose reader may leave, or whose file has no room, before everything is said."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

_GONE = (errno.EPIPE, errno.EIO)  # a pipe without its reader, a terminal that was closed


class PatientStream(io.TextIOWrapper):
    """Discards output once it cannot be written: `check … | head -1` keeps its status.

    A sign that the stream's encoding lacks becomes its escape, as Python itself does it on standard error.
    """

    trouble = ""
    """Why output is lost that somebody wants to read, such as a disk without room."""
    is_unread = False
    """Whether its reader has gone; the descriptor leads nowhere then, and tells nobody of it."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._silence(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._silence(error)

    def _silence(self, error: OSError) -> None:
        """Let the descriptor lead nowhere, then empty the buffers into it."""
        if error.errno in _GONE:
            self.is_unread = True
        else:
            self.trouble = self.trouble or str(error.strerror)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()


def patient_streams() -> None:
    """Replace the two output streams of this process; those that lead to no descriptor stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):  # a stream in memory has no descriptor
                stream.fileno()
                setattr(sys, name, patient(stream))


def nobody_reads() -> bool:
    """Whether the reader of standard output was found gone."""
    return isinstance(sys.stdout, PatientStream) and sys.stdout.is_unread


def lost_output() -> str:
    """Write out what is said; return why some of standard output was lost, nothing where all was written."""
    sys.stdout.flush()
    return sys.stdout.trouble if isinstance(sys.stdout, PatientStream) else ""


def patient(stream: io.TextIOWrapper) -> PatientStream:
    """The same stream, as one that is patient."""
    return PatientStream(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
