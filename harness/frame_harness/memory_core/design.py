"""What one kind of memory core has of its own: how its memory is read, and what its parts are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from frame_harness.guest.backtrace import BacktraceLine, calls
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.code_at import CodeAt
from frame_harness.memory_core.functions import OLDER
from frame_harness.memory_core.reading import CoreReader
from frame_harness.memory_core.state import CoreState, LeftOut, Structure

_MEMORY: Final = "::memory::"


class Reader(Protocol):
    """Turns what a core remembers into values that are judged.

    `slots` has shape (n_frames,); `locked` is that of `CoreState`; `unjudged` is what it cannot read.
    """

    @property
    def unjudged(self) -> tuple[LeftOut, ...]: ...

    def read(self, structures: tuple[Structure, ...] | None = None) -> CoreState: ...

    def slots(self) -> NDArray[Any]: ...

    def locked(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Design:
    """One kind of memory core."""

    reader: Callable[[BootedGuest], Reader]
    """Of its memory in a guest."""
    within: tuple[str, ...] = (_MEMORY,)
    """What the path of each of its functions has in it."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """By the names in `functions.py` what they are called here."""

    def innermost(self, backtrace: Iterable[BacktraceLine]) -> CodeAt | None:
        """The innermost call of a backtrace that is the core's own."""
        own = (call for call in calls(backtrace) if any(mark in call.function for mark in self.within))
        return next(own, None)

    def short(self, function: str) -> str:
        """The name of one of its functions, from the core's module on."""
        return next((function.rpartition(mark)[2] for mark in self.within if mark in function), function)

    def names_of(self, function: str) -> Sequence[str]:
        """What a function of `functions.py` may be called, the most likely first."""
        return (self.functions.get(function, function), OLDER.get(function, function))


TREE: Final = Design(CoreReader)
"""The core of a kernel tree: its files are the subject."""
