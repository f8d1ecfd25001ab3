"""Shows a person what the rounds see: lines that stay, and on a terminal one that says what goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from frame_harness.base.text import plural, printable, seconds
from frame_harness.contract.layout import StructLayout
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.difference import Difference
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome, RunKey
from frame_harness.judge.findings import FaultKey
from frame_harness.judge.verdict import Verdict
from frame_harness.report.difference import print_difference, print_so_far, shown_whole
from frame_harness.report.terminal import print_report
from frame_harness.watching.messages import Built

_NAMED = 3


class Screen:
    """Prints the whole report of the first round, and what changed in each later one."""

    def __init__(self, console: Console, slot: StructLayout | None = None) -> None:
        self._console, self._slot = console, slot
        self._live = Live(Text(""), console=console, transient=True, auto_refresh=False)
        self._reported = False
        self._told: set[str] = set()
        self._shown: set[FaultKey] = set()
        self._since = time.monotonic()
        self._built = ""
        self._planned = 0
        self._outcomes = Counter[Outcome]()

    def begins(self, changed: Sequence[Path], *, anew: bool) -> None:
        """Say which saved files a round is about; `anew` where it replaces one under way."""
        self._since = time.monotonic()
        self._built, self._planned, self._outcomes = "", 0, Counter()
        self._shown = set()
        if changed:
            self._console.print()
            more = "; the round that was under way is given up" if anew else ""
            self._say(f"saved {_names(changed)}{more}", style="bold")
        self._doing("building", plainly=False)

    def same(self, files: Sequence[Path]) -> None:
        """Somebody saved what was there already."""
        self._say(f"saved {_names(files)}: the same text, nothing to judge anew")
        self._progress("")

    def gone(self, files: Sequence[Path]) -> None:
        """Say that the files to judge are gone; they are waited for."""
        them = "it" if len(files) == 1 else "them"
        self._say(f"{', '.join(map(str, files))}: gone; waiting for {them}", style="bold yellow")
        self._quiet()

    def doing(self, words: str) -> None:
        """Something slow goes on."""
        self._doing(words)

    def noted(self, words: str) -> None:
        """Something to know: each note once."""
        if words not in self._told:
            self._told.add(words)
            self._say(words)

    def built(self, built: Built) -> None:
        """Say how long the build took, and what of the machine code it changed."""
        self._built = f"built in {seconds(built.seconds)}"
        names = ""
        if built.changed:
            short = [one.rpartition("frame::")[2] for one in built.changed]
            more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
            names = f"; machine code of {', '.join(short[:_NAMED])}{more} changed"
        elif built.changed is not None:
            names = "; the same machine code"
        first = f"; {plural(built.first, 'check')} first" if built.first else ""
        self._say(f"{self._built}{names}{first}")

    def began(self, _run: RunKey, total: int) -> None:
        """Add the checks that a run has planned."""
        self._planned += total

    def came(self, result: CheckResult) -> None:
        """Count how a check ended, and show how far the round is."""
        self._outcomes[result.outcome] += 1
        self._progress(str(result.run))

    def looked(self, seen: Difference, evidence: Evidence) -> None:
        """The first checks are over; before the first report it tells all of that."""
        if self._reported:
            print_so_far(seen, evidence, self._console, self._slot)
            self._shown = shown_whole(seen.broken)

    def judged(self, seen: Difference, evidence: Evidence, verdict: Verdict, known: Baseline) -> None:
        """Print the findings of the first round, from then on what differs."""
        self._quiet()
        evidence = msgspec.structs.replace(evidence, duration_s=time.monotonic() - self._since)
        if self._reported:
            print_difference(seen, self._shown, evidence, verdict, self._console, self._slot)
        else:
            print_report(evidence, verdict, known, self._console, self._slot, explained=True)
            self._reported = bool(evidence.runs)
        self._wait()

    def refused(self, words: str) -> None:
        """Say why nothing could be judged."""
        self._quiet()
        for line in words.splitlines():
            self._say(line)
        self._wait()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._quiet()

    def _progress(self, where: str) -> None:
        done = self._outcomes.total()
        if not done:
            return
        facts = [self._built, f"{done}/{self._planned} checks", where]
        if broken := self._outcomes[Outcome.VIOLATED]:
            facts.append(f"{broken} broken")
        self._doing(" · ".join(filter(None, facts)), plainly=False)

    def _doing(self, words: str, *, plainly: bool = True) -> None:
        if self._console.is_terminal:
            self._live.start()
            self._live.update(
                Text(printable(words), style="dim", no_wrap=True, overflow="ellipsis"), refresh=True
            )
        elif plainly:
            self._say(words)

    def _wait(self) -> None:
        self._doing("waiting for a save; Ctrl-C ends")

    def _quiet(self) -> None:
        self._live.stop()

    def _say(self, words: str, style: str = "") -> None:
        self._console.print(Text(printable(words), style=style), soft_wrap=True)


def _names(files: Sequence[Path]) -> str:
    shown = ", ".join(file.name for file in files[:_NAMED])
    return f"{shown} and {len(files) - _NAMED} more" if len(files) > _NAMED else shown
