"""Measures in one process which lines the guests of each check ran."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from frame_harness.coverage.blocks import executed
from frame_harness.coverage.lines import Reached
from frame_harness.image.code_lines import CodeLines
from frame_harness.machine.translation_log import TranslationLogs

BOOT: Final = "boot"
"""Stands for a check: what each guest runs on its way to the prompt, where its memory is nothing special."""
BEFORE_CHECKS: Final = "preflight"
"""Stands for a check: what is compared in each run before its first one."""
STAND_FOR_NO_CHECK: Final = frozenset({BOOT, BEFORE_CHECKS})

_Lines = set[int]


class Measurement:
    """What the guests of one run show of the subject's lines, credited to checks.

    A check has what its guests ran between their prompt and their end. On the way to the prompt, every guest
    runs much the same, which is credited to `BOOT`; but where a guest was started on memory of its own, the
    check has that, also where the guest was put back to its prompt and only the first of its kind booted.
    A guest that several checks of a module share counts for each of them: they are one group.

    A guest that cannot be put back to its prompt (one that is debugged, or has much RAM) keeps translations
    from its boot: what it runs again of these is seen in `BOOT` alone.
    """

    def __init__(self, lines: CodeLines) -> None:
        self.logs = TranslationLogs(lines.table.functions)
        self._rows = lines.table.rows
        self._starts = [row.start for row in self._rows]
        self._numbers = {spot: number for number, spot in enumerate(lines.spots)}
        self._check, self._group = BEFORE_CHECKS, ""
        self._reached: dict[tuple[str, str], _Lines] = {}
        self._boots: dict[str, _Lines] = {}

    def begin(self, check: str, group: str = "") -> None:
        """Credit what runs from now on to a check; `group` names those that share guests with it."""
        self.collect()
        self._check, self._group = check, group

    def collect(self) -> None:
        """Credit what ran since the last call to the running check."""
        self._credit(self._check, self._group, self._ran())

    def booted(self, special: str, *, was_put_back: bool) -> None:
        """Credit the boot of a guest that has come to its prompt.

        Args:
            special: names the memory that it was started on; empty for as usual.
        """
        ran = self._ran()
        if special:
            boot = self._boots.setdefault(special, set())
            boot.update(() if was_put_back else ran)
            self._credit(self._check, self._group, boot)
        else:
            self._credit(BOOT, "", ran)

    def reached(self) -> tuple[Reached, ...]:
        """What each check ran."""
        return tuple(
            Reached(check=check, group=group, spots=tuple(sorted(spots)))
            for (check, group), spots in self._reached.items()
        )

    def _credit(self, check: str, group: str, ran: Iterable[int]) -> None:
        self._reached.setdefault((check, group), set()).update(ran)

    def _ran(self) -> _Lines:
        addresses = (at for log in self.logs.read() for at in executed(log))
        return {number for at in addresses for number in self._at(at)}

    def _at(self, address: int) -> Iterable[int]:
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address >= self._rows[place].end:
            return ()
        return (self._numbers[spot] for spot in self._rows[place].spots)
