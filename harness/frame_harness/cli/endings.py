"""Maps errors that end a command to one message and an exit status."""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import Final

from frame_harness.base.disk import unwritable
from frame_harness.base.errors import ConsoleError, HarnessError, ImageError, MachineError, UsageError
from frame_harness.console.channel import CrashReported
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import (
    AllocFailed,
    GuestCrashed,
    GuestEndError,
    GuestTimeout,
    NotInThisVersion,
    SubjectPanic,
)
from frame_harness.image.errors import NotJudgeable
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.deadline import LimitReached

_STATUS: tuple[tuple[type[Exception], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (GuestTimeout, ExitCode.TIMEOUT),
    (LimitReached, ExitCode.TIMEOUT),
    (GuestCrashed, ExitCode.CRASH),
    (CrashReported, ExitCode.CRASH),
    (SubjectPanic, ExitCode.CRASH),
    (AllocFailed, ExitCode.FAIL),
    (ClauseViolated, ExitCode.FAIL),
    (NotJudgeable, ExitCode.UNJUDGEABLE),
    (NotInThisVersion, ExitCode.UNJUDGEABLE),
    (HarnessError, ExitCode.ERROR),
)


_REPORT: Final = "run it again; report it with these lines if it comes again"
_NEXT: Final[tuple[tuple[type[HarnessError], str], ...]] = (
    (GuestEndError, "look at the guest: the command `console` has one at its prompt, `debug` one under gdb"),
    (
        LimitReached,
        "on a busy machine give the guest more time: a machine file has `limits`, see qemu/README.md",
    ),
    (ImageError, "remove what was built (`make clean`) and run it again; report it if it comes again"),
    (ConsoleError, _REPORT),
    (MachineError, "`make doctor` says what this machine has and lacks; report it with these lines"),
)
"""What to do about an error that does not say so itself. Of one that a user made, `expected` says it."""


def ending(error: Exception) -> tuple[ExitCode, str]:
    """Return the exit status and the words for an error that nothing caught.

    An error that nobody thought of is the harness's own: one line, while its backtrace goes into a file.
    """
    if isinstance(error, OSError):
        error = unwritable(error) or _of_the_host(error)
    if isinstance(error, MemoryError):
        error = HarnessError("host", detail="no memory is left", next_step="free some, then run it again")
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status, f"error: {error}{_next(error)}"
    said = " ".join(str(error).split())
    line = f"error: bug in the harness: {type(error).__name__}: {said}"
    return ExitCode.ERROR, f"{line}\nnext: report it with {_kept_trace(error)}"


def _of_the_host(error: OSError) -> HarnessError:
    """Say which file an error is about, where it is about one."""
    name = error.filename2 or error.filename
    if not isinstance(name, str | bytes):
        return HarnessError("host", detail=error.strerror or str(error), next_step=_REPORT)
    return HarnessError(
        "file", os.fsdecode(name), detail=error.strerror or str(error),
        next_step="see that it is there, and can be read and written; then run the same command again",
    )  # fmt: skip


def _next(error: Exception) -> str:
    """The line with what to do, where the error has none of its own and one is known."""
    if not isinstance(error, HarnessError) or error.next_step:
        return ""
    return next((f"\nnext: {words}" for kind, words in _NEXT if isinstance(error, kind)), "")


def _kept_trace(error: Exception) -> str:
    trace = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="frame-harness-bug-", suffix=".txt", encoding="utf-8", errors="replace", delete=False
        ) as file:
            file.write(trace)
    except OSError:
        return f"this\n{trace}"
    return file.name
