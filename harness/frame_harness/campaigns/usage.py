"""Reads what a process and its children use, and knows what they may."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU time in seconds, with that of children that ended; memory in bytes, shared pages counted once.

    Attributes:
        waited_s: how long its threads that live could have run, but other work had the CPUs.
    """

    cpu_s: float
    n_bytes: int
    waited_s: float = 0.0


@dataclass
class _Limit:
    n_bytes: int | None = None


_OF_THIS_TASK: Final = _Limit()


def limit_this_task(n_bytes: int | None) -> None:
    """Let this process, which does a task, know when its worker ends it."""
    _OF_THIS_TASK.n_bytes = n_bytes


def memory_left() -> int | None:
    """Return the bytes that this task may use before its worker ends it; None where nobody limits it."""
    limit = _OF_THIS_TASK.n_bytes
    return None if limit is None else max(0, limit - usage_of(os.getpid()).n_bytes)


def usage_of(pid: int) -> Usage:
    """Return what a process uses with all that descend from it; of one that is gone nothing."""
    found = [_own(one) for one in _tree(pid)]
    return Usage(
        sum(one.cpu_s for one in found),
        sum(one.n_bytes for one in found),
        sum(one.waited_s for one in found),
    )


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for text in _of_threads(pid, "children"):
        for child in text.split():
            yield from _tree(int(child))


def _own(pid: int) -> Usage:
    # proc(5), stat: utime stime cutime cstime are fields 14 to 17; the name may hold blanks.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))
    # A page that n processes share counts as a n-th in each: a guest's RAM is mapped by two.
    pss = re.search(r"(?m)^Pss:\s+(\d+) kB", _read(Path(f"/proc/{pid}/smaps_rollup")))
    # Of each thread: nanoseconds on a CPU, nanoseconds on its way to one, how often it came to one.
    waited_ns = sum(int(text.split()[1]) for text in _of_threads(pid, "schedstat") if text)
    return Usage(ticks / _TICKS, int(pss[1]) << 10 if pss else 0, waited_ns / 1e9)


def _of_threads(pid: int, name: str) -> list[str]:
    """Return the text of a file of each thread; of a process that ends meanwhile none."""
    try:
        return [_read(file) for file in Path(f"/proc/{pid}/task").glob(f"*/{name}")]
    except OSError:
        return []


def _read(file: Path) -> str:
    """Return the text of a file of a process; nothing once that is gone."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
