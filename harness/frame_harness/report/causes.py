"""Puts together what ended in the same way, so that one cause is told once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frame_harness.judge.evidence import CheckResult, Outcome, RunKey, Trouble
from frame_harness.judge.ways import way, words_of


@dataclass(frozen=True)
class BrokenOffCause:
    """One way in which checks broke off: the first of them, all of them."""

    results: tuple[CheckResult, ...]

    @property
    def first(self) -> CheckResult:
        """The check that broke off first, which stands for the others."""
        return self.results[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The names of the other checks that broke off so, each once, in however many runs it did."""
        return tuple(dict.fromkeys(result.check for result in self.results))[1:]

    @property
    def runs(self) -> tuple[RunKey, ...]:
        """The runs in which checks broke off so, each once, in the order of the results."""
        return tuple(dict.fromkeys(result.run for result in self.results))


@dataclass(frozen=True)
class SharedTrouble:
    """One trouble, told by the first run that had it; `stopped` checks came to no end because of it."""

    first: Trouble
    runs: tuple[RunKey, ...]
    stopped: int


def causes_of(results: Iterable[CheckResult], troubles: Iterable[Trouble]) -> list[BrokenOffCause]:
    """Group checks that broke off by how and where; those that a trouble explains are left out."""
    explained = {(trouble.run, trouble.message) for trouble in troubles}
    groups: dict[tuple[str, ...], list[CheckResult]] = {}
    for result in results:
        if (result.run, result.message) not in explained:
            groups.setdefault(_way(result), []).append(result)
    return [BrokenOffCause(tuple(group)) for group in groups.values()]


def _way(result: CheckResult) -> tuple[str, ...]:
    kind = result.message.partition(":")[0]  # `panic`, `timeout`, `run stopped`
    hangs = result.outcome is Outcome.TIMEOUT
    return (result.outcome, kind, way(result.message, result.backtrace, hangs=hangs))


def shared(troubles: Iterable[Trouble], results: Iterable[CheckResult]) -> list[SharedTrouble]:
    """Group troubles that say the same of several runs."""
    results = list(results)
    groups: dict[tuple[str, str, str], list[Trouble]] = {}
    for trouble in troubles:
        key = (trouble.what, str(trouble.outcome), words_of(trouble.message))
        groups.setdefault(key, []).append(trouble)
    return [
        SharedTrouble(
            group[0],
            tuple(dict.fromkeys(trouble.run for trouble in group if trouble.run is not None)),
            sum(
                any((result.run, result.message) == (trouble.run, trouble.message) for trouble in group)
                for result in results
            ),
        )
        for group in groups.values()
    ]
