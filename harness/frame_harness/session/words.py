"""What pytest shows of a failed test: lines of the user, words of the kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.resources import suite_dir
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import AllocFailed, SubjectPanic

_PACKAGE = Path(__file__).resolve().parents[1]
_OURS = (HarnessError, SubjectPanic, AllocFailed, ClauseViolated)
LEAST_ADDRESS = 0x1000
"""Numbers from here on are shown in hex, too: addresses, flags, link words. The bound is ours."""


@contextlib.contextmanager
def users_lines(excinfo: pytest.ExceptionInfo[BaseException] | None) -> Iterator[str]:
    """Let pytest render an error without the harness's own frames.

    Yields:
        What to show instead of a trace, or nothing.
    """
    if excinfo is None:
        yield ""
        return
    instead, cause = _hide_own_frames(excinfo), excinfo.value.__cause__
    excinfo.value.__cause__ = None  # its frames are the harness's, its words are in the error
    try:
        yield instead
    finally:
        excinfo.value.__cause__ = cause


def _hide_own_frames(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Leave the harness's frames out of an error of its own.

    Returns:
        What to show instead of a trace, where no line of the user's is on the way: a build that failed.
    """
    if not isinstance(excinfo.value, _OURS):
        return ""
    theirs = False
    for entry in excinfo.traceback:
        if _own(Path(entry.path)):
            # What pytest asks for: a name in the frame, or in its module.
            entry.frame.f_globals["__tracebackhide__"] = _is_told_without_frames
        elif "site-packages" not in str(entry.path):
            theirs = True
    return "" if theirs else f"{type(excinfo.value).__name__}: {excinfo.value}"


def compared(op: str, left: Any, right: Any) -> list[str] | None:
    """Explain a comparison of two numbers of which one may be an address; None for anything else."""
    if not all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in (left, right)):
        return None
    if max(abs(int(left)), abs(int(right))) < LEAST_ADDRESS:
        return None
    return [f"{int(left):#x} {op} {int(right):#x}", f"decimal: {int(left)} {op} {int(right)}"]


def _is_told_without_frames(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    return isinstance(excinfo.value, _OURS)


def _own(path: Path) -> bool:
    return path.is_relative_to(_PACKAGE) and not path.is_relative_to(suite_dir())
