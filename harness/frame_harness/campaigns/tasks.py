"""A task on its way to the process that does it, and what comes back."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from frame_harness.base.errors import HarnessError
from frame_harness.campaigns.done import LossReason


@dataclass(frozen=True)
class Work:
    """What a process does for each task of a campaign.

    Attributes:
        function: takes a payload, returns a record.
        known: where the command has each file, by its sha256.
        limit_s: CPU time, and time, after which a task is ended.
    """

    function: Callable[[Any], Any]
    known: Mapping[str, str]
    limit_s: float


@dataclass(frozen=True)
class Came:
    """The work is done; the result is JSON."""

    result: bytes


@dataclass(frozen=True)
class Ended:
    """The process came to no result."""

    reason: LossReason
    detail: str


@dataclass(frozen=True)
class Raised:
    """The work raised something, which is written by pickle."""

    error: bytes

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Keep an error for another process; of one that cannot travel the words."""
        trace = "".join(traceback.format_exception(error))
        if not isinstance(error, Exception):
            # As it is, it would end the command: as a PASS where a task asks for the status 0.
            told = f"{type(error).__name__} {error}".strip()
            error = HarnessError("task", detail=f"its work ended with {told}", evidence=trace)
        elif not isinstance(error, HarnessError):
            error.__cause__ = None
            error.add_note(f"in the process of a task:\n{trace}")
        try:
            data = pickle.dumps(error)
            pickle.loads(data)
        except Exception:  # whatever a foreign class raises that cannot be taken apart
            words = RuntimeError(f"{type(error).__name__}: {error}")
            words.add_note(f"in the process of a task:\n{trace}")
            data = pickle.dumps(words)
        return cls(data)

    def again(self) -> BaseException:
        """Return the error as it was raised."""
        error = pickle.loads(self.error)
        assert isinstance(error, BaseException)
        return error


TaskOutcome = Came | Ended | Raised


@dataclass(frozen=True)
class Wanted:
    """A task asks for a file."""

    sha256: str
    name: str


@dataclass(frozen=True)
class Fetched:
    """Where the file is; or why nobody has it."""

    path: str
    trouble: str = ""
