"""What histories came to, however they were played: the words and the exit status of `fuzz`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from frame_harness.base.text import plural
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.judge.exit_codes import ExitCode


@dataclass(frozen=True)
class Fuzzed:
    """What was played, and what it found.

    Attributes:
        causes: how many there are of the clauses.
        again: how often a history ended at a cause that was known by then.
        seconds: that it took to play the commands.
        lost: rounds that came to no result.
        cut_off: histories that ended where the module did what is allowed and the model cannot follow.
        unconfirmed: by clause and line what the image with counted branches alone shows.
    """

    seed: int
    clauses: frozenset[str]
    causes: int
    histories: int
    commands: int
    seconds: float
    again: int = 0
    lost: int = 0
    cut_off: int = 0
    unconfirmed: tuple[str, ...] = ()

    @property
    def status(self) -> ExitCode:
        """No PASS where something was found, was lost, or where nothing was played."""
        if self.clauses:
            return ExitCode.FAIL
        if self.lost:
            return ExitCode.ERROR
        return ExitCode.PASS if self.commands else ExitCode.NO_TESTS

    def say(self) -> None:
        """Print it."""
        for line in self._lines():
            click.echo(line)

    def _lines(self) -> Iterator[str]:
        names = ", ".join(CLAUSES.in_order(self.clauses)) or "nothing"
        causes = f" ({plural(self.causes, 'cause')})" if self.causes > len(self.clauses) else ""
        again = f", seen again {self.again} times" if self.again else ""
        lost = f", {plural(self.lost, 'round')} lost" if self.lost else ""
        yield (
            f"\nfuzz: found {names}{causes}{again}: {self.histories} histories, {self.commands} commands "
            f"compared with the model ({self.commands / self.seconds:.0f} a second){lost}, seed {self.seed}"
        )
        if self.cut_off:
            yield (
                f"cut off: {self.cut_off} of these histories, where the module keeps a poisoned frame; "
                "it may, and the model cannot follow it any further"
            )
        for words in self.unconfirmed:
            yield f"not confirmed: it shows in the build that counts branches alone: {words}"
        if self.status is ExitCode.ERROR:
            yield (
                f"not judged: {plural(self.lost, 'round')} came to no result, so what they would have found "
                "is not known; next: go on with --resume, which plays them again"
            )
        if self.status is ExitCode.NO_TESTS:
            yield "not judged: nothing was played; next: give it more time (--time), or --commands"
