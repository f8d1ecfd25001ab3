"""What a run is doing right now: one live line on a terminal, one line a run elsewhere."""

from collections import Counter
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from frame_harness.base.text import plural, printable, seconds
from frame_harness.judge.evidence import CheckResult, Outcome, RunKey
from frame_harness.report.text import short_check

_WORDS = {
    Outcome.PASSED: "passed",
    Outcome.VIOLATED: "broken",
    Outcome.CRASHED: "crashed",
    Outcome.TIMEOUT: "timed out",
    Outcome.ERROR: "in error",
    Outcome.NOT_EVALUATED: "not evaluated",
    Outcome.SKIPPED: "skipped",
    Outcome.ABSENT: "not in this version",
}


class _Tally:
    """How far one run is."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.outcomes: Counter[Outcome] = Counter()
        self.duration_s = 0.0

    @property
    def done(self) -> int:
        return self.outcomes.total()


class Progress:
    """Told of every event, from one thread; several runs may be under way at once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(Text(""), console=console, transient=True, auto_refresh=False)
        self._tallies: dict[RunKey, _Tally] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step(self, what: str) -> None:
        """Something slow that is no check: a build, an installation."""
        if self._console.is_terminal:
            self._show(Text(printable(what), style="dim"))
        else:
            self._console.print(Text(printable(what)), soft_wrap=True)

    def note(self, text: str) -> None:
        """Something to know, which stays on the terminal."""
        self._console.print(Text(printable(text)), soft_wrap=True)

    def begin(self, run: RunKey, total: int) -> None:
        """A run starts with this many checks planned."""
        self._tallies[run] = _Tally(total)

    def check(self, run: RunKey, check: str, clauses: tuple[str, ...]) -> None:
        """Show which check begins; on a terminal alone."""
        if self._console.is_terminal:
            tally = self._tallies[run]
            width = len(str(tally.total))
            line = Text.assemble(
                (f"{run}", "bold"),
                f"  {tally.done + 1:>{width}}/{tally.total}  ",
                (f"{clauses[0]:<9} " if clauses else "", "cyan"),
                (printable(short_check(check)), "dim"),
                no_wrap=True,
                overflow="ellipsis",
            )
            self._show(line)

    def result(self, result: CheckResult) -> None:
        """A check ended; after the last one of a run, its line stays."""
        tally = self._tallies[result.run]
        tally.outcomes[result.outcome] += 1
        tally.duration_s += result.duration_s
        if tally.done == tally.total:
            self._console.print(self._summary(result.run, tally), soft_wrap=True)

    def _summary(self, run: RunKey, tally: _Tally) -> Text:
        facts = [plural(tally.total, "check")]
        facts += [f"{tally.outcomes[one]} {word}" for one, word in _WORDS.items() if tally.outcomes[one]]
        facts.append(f"{seconds(tally.duration_s)} of guest time")
        return Text(f"{run}: {', '.join(facts)}")

    def _show(self, line: Text) -> None:
        self._live.update(line, refresh=True)
