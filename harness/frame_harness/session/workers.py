"""How many guests run at the same time."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from frame_harness.base.units import MIB

USUALLY_AT_MOST: Final = 8
CPUS_TIMES: Final = 2
"""Guests wait for the host now and then: a few more than CPUs may pay, many more only wait for each other."""
WORKER_BYTES: Final = 256 * MIB
"""What a worker keeps resident at most: its own memory, a guest, what the guest touches."""


def worker_count(asked: int | None, cpus: int, available_bytes: int) -> tuple[int, str]:
    """Return how many guests may run at once, with a line that says why it is not what was asked for.

    Args:
        asked: by the user; None for one per CPU.
        available_bytes: of the host's memory.
    """
    fitting = max(1, available_bytes // WORKER_BYTES)
    if asked is None:
        return min(cpus, USUALLY_AT_MOST, fitting), ""
    most = min(CPUS_TIMES * cpus, fitting)
    if asked <= most:
        return asked, ""
    why = f"{cpus} CPUs" if most < fitting else f"{available_bytes // MIB} MiB of memory"
    return most, f"-n {asked}: {most} guests at a time, as many as {why} can serve"


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def available_memory() -> int:
    """Return the bytes that the host can give without swapping (proc(5), MemAvailable)."""
    # MemAvailable:   24318432 kB
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, flags=re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
