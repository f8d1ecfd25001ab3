"""The folders of runs that nobody named: each by its time, the oldest go."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from frame_harness.archive import files
from frame_harness.base import resources
from frame_harness.base.disk import new_folder, writing
from frame_harness.base.errors import UsageError
from frame_harness.base.paths import real

VARIABLE: Final = "FRAME_HARNESS_RUNS"
DEFAULT: Final = 10
LATEST: Final = "latest"
# 2026-11-28T20-12-21, 2026-11-28T20-12-21-2
_NAME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:-\d+)?")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_LOCK: Final = "lock"


def runs_place() -> Path:
    """Where the folders of runs are, whether there are any or not."""
    return resources.build_place() / "runs"


def most_kept() -> int:
    """How many runs are kept; 0 for none.

    Raises:
        UsageError: the variable holds no such number.
    """
    text = os.environ.get(VARIABLE, "")
    if text and not _COUNT.fullmatch(text):
        raise UsageError(
            VARIABLE, text[:40], expected="how many runs are kept, 0 for none", actual="another text",
            next_step=f"write it like {DEFAULT}",
        )  # fmt: skip
    return int(text) if text else DEFAULT


def require_elsewhere(folder: Path) -> None:
    """Refuse to be named a folder among those that are removed in turn.

    Raises:
        UsageError: it lies there.
    """
    if real(folder).is_relative_to(runs_place()):
        raise UsageError(
            "--out", str(folder), expected=f"a folder outside of {runs_place()}",
            actual="one whose neighbors are removed in turn", next_step="name another folder",
        )  # fmt: skip


def new_run() -> Path:
    """Make the folder of a run that begins now.

    Raises:
        HarnessError: there is no room, or no leave.
    """
    return new_folder(resources.build_dir() / "runs")


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a run's folder from being removed while it is written; it goes with the process."""
    with contextlib.ExitStack() as stack:
        with writing(folder):
            lock = stack.enter_context((folder / _LOCK).open("wb"))
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    (folder / _LOCK).unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Let `latest` lead to a run that came to its end, then remove the oldest beyond what is kept.

    Raises:
        HarnessError: there is no leave.
    """
    place = folder.parent
    with writing(place):
        link = place / f"{files.PART}{LATEST}-{os.getpid()}"
        link.symlink_to(folder.name)
        link.replace(place / LATEST)
    runs = sorted(one for one in place.iterdir() if _NAME.fullmatch(one.name) and not one.is_symlink())
    others = [one for one in runs if one != folder]
    for old in others[: max(0, len(runs) - most_kept())]:
        _remove(old)


def _remove(folder: Path) -> None:
    """Remove a run that no process writes."""
    lock: IO[bytes]
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context((folder / _LOCK).open("rb"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # it came to its end
        except BlockingIOError:
            return
        except OSError:
            pass  # a file system without locks
        shutil.rmtree(folder, ignore_errors=True)
