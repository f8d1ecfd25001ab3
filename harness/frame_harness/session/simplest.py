"""Which failing checks a report may show: of each fault the simplest one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frame_harness.contract.contract import Contract
from frame_harness.judge.evidence import CheckResult, RunKey
from frame_harness.judge.findings import CauseFinder

_Fault = tuple[str, str, str, bool]
"""A clause, what tells its faults apart, a profile, whether a result names a frame: one that does has more
pictures."""
_Order = tuple[tuple[int, ...], int]


class SimplestShown:
    """By fault, the simplest check of this process whose commands were played again."""

    def __init__(self, contract: Contract, runs: Sequence[RunKey]) -> None:
        """Nothing was seen yet.

        Args:
            runs: in the order of the plan.
        """
        self._finder = CauseFinder(contract, runs)
        self._simplest: dict[_Fault, tuple[_Order, str]] = {}

    def in_place_of(self, results: Sequence[CheckResult], number: int) -> str:
        """Return the check that reports show in place of another one; empty where they may show that.

        Args:
            results: of the check, its own and what it met of other clauses.
            number: its place in the plan.
        """
        best = ""
        for fault, order in self._faults(results, number):
            if fault not in self._simplest or order < self._simplest[fault][0]:
                return ""
            best = best or self._simplest[fault][1]
        return best

    def add(self, results: Sequence[CheckResult], number: int) -> None:
        """Take down a check whose commands were played again."""
        for fault, order in self._faults(results, number):
            if fault not in self._simplest or order < self._simplest[fault][0]:
                self._simplest[fault] = order, results[0].check

    def _faults(self, results: Sequence[CheckResult], number: int) -> Iterator[tuple[_Fault, _Order]]:
        for result in results:
            order = self._finder.simplicity(result), number
            for clause in result.broken:
                yield (clause, result.cause, result.run.profile, result.frame is not None), order
