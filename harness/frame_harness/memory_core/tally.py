"""What a campaign of cases has found and done so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from frame_harness.base.text import plural
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.judging import Key


@dataclass(frozen=True)
class Found:
    """A fault with the shortest case found that shows it."""

    failure: Failure
    fresh: bool | None
    """Whether a guest that has just booted shows it, too; None where that was not tried."""


@dataclass
class Tally:
    """What a campaign has done so far."""

    found: dict[Key, Found] = field(default_factory=dict)
    maps: int = 0
    histories: int = 0
    planned: int = 0
    storms: int = 0
    hangs: int = 0
    cut: str = ""
    """Why the campaign ended before all was played; empty where it did not."""
    left_out: str = ""
    """Which maps the host had no room for, and why."""
    known: frozenset[Key] = frozenset()
    """Faults that are known before, and not found again."""
    shortens: bool = True
    """Whether a case that shows a fault is made shorter."""

    @property
    def all_known(self) -> tuple[Key, ...]:
        """Faults that are known by now."""
        return (*self.known, *self.found)

    @property
    def words(self) -> str:
        """Maps, histories and faults so far, as one line."""
        faults = plural(len(self.found), "fault")
        return f"{plural(self.maps, 'map')}, {self.histories} of {self.planned} histories, {faults}"
