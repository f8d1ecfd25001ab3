"""Which failing checks a report may show: of each fault the simplest one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frame_harness.contract.contract import Contract
from frame_harness.judge.evidence import CheckInRun, CheckResult, RunKey
from frame_harness.judge.findings import CauseFinder

_Fault = tuple[str, str, RunKey, str]
"""A clause, what tells its faults apart, a run, and which picture of memory a result has: none, that of a
slot, that of a frame's life (`html_report.page`). By run: how runs are dealt to processes changes nothing."""
_Order = tuple[tuple[int, ...], int]


class SimplestShown:
    """By fault and run, the simplest check of this process whose commands were played again."""

    def __init__(self, contract: Contract) -> None:
        """Nothing was seen yet."""
        self._slot = contract.slot
        self._finder = CauseFinder(contract)
        self._simplest: dict[_Fault, tuple[_Order, str]] = {}
        self._met: dict[CheckInRun, int] = {}
        """By what was met on the way, the first check in the plan that met it: evidence keeps its result."""

    def in_place_of(self, results: Sequence[CheckResult], number: int) -> tuple[str, ...]:
        """Return checks that reports show in place of another one; none where they may show that.

        Args:
            results: of the check, its own and what it met of other clauses.
            number: its place in the plan.
        """
        own, *met = results
        if any(number < self._met.get(one.key, number + 1) for one in met):
            return ()
        others, order = list[str](), self._order(own, number)
        for fault in self._faults(own):
            if fault not in self._simplest or order < self._simplest[fault][0]:
                return ()
            others.append(self._simplest[fault][1])
        return tuple(dict.fromkeys(others))

    def add(self, results: Sequence[CheckResult], number: int) -> None:
        """Take down a check whose commands were played again."""
        own, *met = results
        order = self._order(own, number)
        for fault in self._faults(own):
            if fault not in self._simplest or order < self._simplest[fault][0]:
                self._simplest[fault] = order, own.check
        for one in met:
            self._met[one.key] = min(number, self._met.get(one.key, number))

    def _order(self, own: CheckResult, number: int) -> _Order:
        return self._finder.simplicity(own), number

    def _faults(self, own: CheckResult) -> Iterator[_Fault]:
        for clause in own.broken:
            yield clause, own.cause, own.run, self._picture(own)

    def _picture(self, result: CheckResult) -> str:
        if result.frame is None:
            return ""
        return "life" if self._slot.field(result.field) is None else "slot"
