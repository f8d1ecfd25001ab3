"""A scheduler and workers in processes of their own, as on other machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.doors import SOURCES, Door

PROGRAM = (sys.executable, "-P", str(SOURCES / "frame-harness"))
"""The file that is installed as the command: Python imports it again in each worker that it starts."""


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, Door]]:
    """A scheduler for the time of a block, with its address."""
    folder.mkdir()
    with Door([*PROGRAM, "scheduler", "--host", "127.0.0.1", "--port", "0"], folder) as door:
        assert door.said("frame-harness worker "), door.end()[1]
        yield (folder / "output.txt").read_text().split()[-1], door


@contextmanager
def worker(folder: Path, address: str, env: dict[str, str] | None = None) -> Iterator[Door]:
    """A worker that does one task at a time, once its scheduler has it."""
    folder.mkdir()
    with Door([*PROGRAM, "worker", address, "--workers", "1"], folder, env) as door:
        assert door.said("Ctrl-C ends"), door.end()[1]
        yield door


@contextmanager
def remote(folder: Path, env: dict[str, str] | None = None) -> Iterator[tuple[str, Door]]:
    """A scheduler with one worker; yields its address and the worker.

    Args:
        env: of the worker, beside what it inherits.
    """
    with scheduler(folder / "s") as (address, _), worker(folder / "w", address, env) as door:
        yield address, door
