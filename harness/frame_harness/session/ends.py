"""Tells when guests end where others did, so that no more are started, or none is waited for as long."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.guest.backtrace import calls, texts
from frame_harness.guest.errors import GuestCrashed, GuestFailure, GuestTimeout
from frame_harness.image.code_at import CodeAt
from frame_harness.image.placed import is_part_of
from frame_harness.judge.ways import way

ENOUGH: Final = 3
"""Checks in a row whose guest ended in the same place before any check came to an end in a guest."""


HUNG_ENOUGH: Final = 2
"""Guests that used up a whole limit in one function of the subject before a shorter one holds there."""


class Hangs:
    """Where in the subject guests of this process hung."""

    def __init__(self, subject: Path) -> None:
        self._subject = str(subject)
        self._functions = Counter[str]()

    def note(self, error: BaseException | None) -> None:
        """Add the end of a guest; all but a timeout in the subject's own code says nothing."""
        if isinstance(error, GuestTimeout):
            innermost = next(iter(calls(error.backtrace)), None)
            if innermost and is_part_of(innermost.file, self._subject):
                self._functions[innermost.function] += 1

    def known(self, code: CodeAt) -> bool:
        """Whether some code is of a function in which guests hung."""
        return is_part_of(code.file, self._subject) and self._functions[code.function] >= HUNG_ENOUGH


@dataclass
class Ends:
    """How the checks of one run ended so far."""

    _place: tuple[str, ...] = ()
    _count: int = 0
    _any_lived: bool = field(default=False)

    def stops(self, error: BaseException | None) -> HarnessError | None:
        """Add the end of a check.

        Args:
            error: what it died of; None when its guest lived.
        Returns:
            what to tell the checks that are left, once all ends were the same often enough.
        """
        if not isinstance(error, GuestFailure):
            self._any_lived = True
        if self._any_lived or not isinstance(error, GuestFailure):
            return None
        place = _place_of(error)
        self._count = self._count + 1 if place == self._place else 1
        self._place = place
        return _stop(error, self._count) if self._count >= ENOUGH else None


def _place_of(error: GuestFailure) -> tuple[str, ...]:
    hangs = isinstance(error, GuestTimeout)
    return (type(error).__name__, str(error.status), way(error.summary, texts(error.backtrace), hangs=hangs))


def _stop(error: GuestFailure, count: int) -> GuestFailure:
    kind = GuestTimeout if isinstance(error, GuestTimeout) else GuestCrashed
    return kind(
        "run stopped",
        detail=f"the first {count} guests all ended in the same way: {error.summary}",
        status=error.status,
        console_tail=error.console_tail,
        backtrace=error.backtrace,
        registers=error.registers,
        console_bytes=error.console_bytes,
        events=error.events,
    )
