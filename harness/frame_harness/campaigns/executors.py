"""Does tasks in the process of the command."""

from __future__ import annotations

import pickle
from collections import deque
from pathlib import Path
from typing import Protocol

import msgspec

from frame_harness.campaigns import files
from frame_harness.campaigns.tasks import Came, TaskOutcome, Work


class Executor(Protocol):
    """Takes tasks, gives back what becomes of them."""

    @property
    def room(self) -> int:
        """How many more tasks can be started without waiting in line for long."""
        ...

    def start(self, name: str, payload: bytes, *, needs_compiler: bool) -> None:
        """Begin a task; no name comes twice."""
        ...

    def offer(self, sha256: str, path: Path) -> None:
        """Let tasks find a file by the sum of its bytes."""
        ...

    def ended(self) -> tuple[str, TaskOutcome]:
        """Wait until a task ends; return its name with its outcome."""
        ...


class InThisProcess:
    """One task after the other; one that dies or hangs takes the command with it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: deque[tuple[str, bytes]] = deque()

    @property
    def room(self) -> int:
        """One, or nothing while a task waits."""
        return 1 - len(self._waiting)

    def start(self, name: str, payload: bytes, *, needs_compiler: bool) -> None:  # noqa: ARG002
        """Put a task behind those that wait; it is done by `ended`, whatever it needs."""
        self._waiting.append((name, payload))

    def offer(self, sha256: str, path: Path) -> None:
        """Remember where a file lies, without reading it."""
        files.remember(sha256, path)

    def ended(self) -> tuple[str, TaskOutcome]:
        """Do the task that waits longest; what it raises is raised, IndexError where none waits."""
        name, payload = self._waiting.popleft()
        return name, Came(msgspec.json.encode(self._work.function(pickle.loads(payload))))
