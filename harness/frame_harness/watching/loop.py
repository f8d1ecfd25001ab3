"""Starts a round on each save, and knows what is broken from one round to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from frame_harness.judge.baseline import Baseline
from frame_harness.judge.difference import Difference, Standing, difference
from frame_harness.judge.evidence import CheckResult, Evidence, RunKey
from frame_harness.judge.exit_codes import ExitCode, VerdictKind, exit_code
from frame_harness.judge.verdict import Verdict
from frame_harness.watching.content import Content, WatchedPlace
from frame_harness.watching.messages import (
    Began,
    Built,
    BuiltImage,
    CheckCame,
    Doing,
    Looked,
    Noted,
    Refused,
    RoundJudged,
    WatchMessage,
)


class Saved:
    """The files may have changed."""


@dataclass(frozen=True)
class RoundEnded:
    """The round's process ended; the last that it printed."""

    words: str


Event = Saved | WatchMessage | RoundEnded


class Stoppable(Protocol):
    """A round that is under way."""

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Before:
    """What a round is told of the one before.

    Attributes:
        standing: what is broken as far as is known.
        images: of the last text that compiled; none before the first.
    """

    standing: Standing
    images: tuple[BuiltImage, ...] = ()


class RoundShows(Protocol):
    """Tells a person what goes on."""

    def begins(self, changed: Sequence[Path], *, anew: bool) -> None: ...
    def same(self, files: Sequence[Path]) -> None: ...
    def gone(self, files: Sequence[Path]) -> None: ...
    def doing(self, words: str) -> None: ...
    def noted(self, words: str) -> None: ...
    def built(self, built: Built) -> None: ...
    def began(self, _run: RunKey, total: int) -> None: ...
    def came(self, result: CheckResult) -> None: ...
    def looked(self, seen: Difference, evidence: Evidence) -> None: ...
    def judged(self, seen: Difference, evidence: Evidence, verdict: Verdict, known: Baseline) -> None: ...
    def refused(self, words: str) -> None: ...


class Loop:
    """Is told of saves and of what the round says; one round is under way at most.

    Attributes:
        round: the one that is under way.
        place: where the text lies, as far as is known: a build tells of further files.
    """

    def __init__(
        self,
        place: WatchedPlace,
        look: Callable[[WatchedPlace], Content],
        begin: Callable[[Before], Stoppable],
        shows: RoundShows,
    ) -> None:
        self.round: Stoppable | None = None
        self.place = place
        self._status = ExitCode.INTERRUPTED
        self._look, self._begin_round, self._shows = look, begin, shows
        self._content = look(place)
        self._before = Before(Standing())
        self._others = place.others
        self._compiles = False

    def status(self) -> ExitCode:
        """Look at the files; return the status of their text: `INTERRUPTED` until it was judged to its end.

        A save is heard of some time behind it.
        """
        if self._look(self.place).since(self._content).changed:
            self._status = ExitCode.INTERRUPTED
        return self._status

    def run(self, events: Iterable[Event]) -> None:
        """Judge what is there, then whatever is saved, as long as there are events."""
        self._begin((), anew=False)
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Do what an event asks for."""
        match event:
            case Saved():
                self._saved()
            case Built():
                self._built(event)
            case RoundJudged():
                self._judged(event)
            case Refused():
                self._over(event.status)
                self._shows.refused(event.words)
            case RoundEnded():
                self._ended(event.words)
            case _:
                self._goes_on(event)

    def _goes_on(self, said: Doing | Noted | Began | CheckCame | Looked) -> None:
        """Show how far a round is."""
        match said:
            case Doing():
                self._shows.doing(said.words)
            case Noted():
                self._shows.noted(said.words)
            case Began():
                self._shows.began(said.run, said.total)
            case CheckCame():
                self._shows.came(said.result)
            case Looked():
                seen = difference(self._before.standing, said.evidence, said.verdict)
                self._shows.looked(seen, said.evidence)

    def stop(self) -> None:
        """End the round that is under way."""
        if self.round is not None:
            self.round.stop()
            self.round = None

    def _saved(self) -> bool:
        """Look at the files; tell whether that ended the round that was under way, or began one."""
        now = self._look(self.place)
        change, self._content = now.since(self._content), now
        if change.changed or (change.same and self.round and not self._compiles):
            # What is saved while it is compiled may be compiled in part, the same text too.
            anew = self.round is not None
            self.stop()
            if lacking := now.lacking(self.place):
                self._status = ExitCode.INTERRUPTED
                self._shows.gone(lacking)
            else:
                self._begin(change.changed or change.same, anew=anew)
            return True
        if change.same:
            self._shows.same(change.same)
        return False

    def _begin(self, changed: Sequence[Path], *, anew: bool) -> None:
        self._status, self._compiles = ExitCode.INTERRUPTED, False
        self._shows.begins(changed, anew=anew)
        self.round = self._begin_round(self._before)

    def _built(self, built: Built) -> None:
        self._compiles = True
        self._before = Before(self._before.standing, built.images)
        others = (*self._others, *(Path(source) for source in built.sources))
        if others != self.place.others:
            self.place = WatchedPlace(self.place.needed, others, self.place.folders)
            # Files that are known from now on were not saved.
            self._content = self._content.with_others(self._look(self.place))
        self._shows.built(built)

    def _judged(self, judged: RoundJudged) -> None:
        if self._saved():  # what was judged is no more
            return
        seen = difference(self._before.standing, judged.evidence, judged.verdict)
        self._before = Before(seen.standing, self._before.images)
        self._over(exit_code(judged.verdict.kind))
        self._shows.judged(seen, judged.evidence, judged.verdict, judged.known)

    def _over(self, status: ExitCode) -> None:
        self._status = status
        self.stop()

    def _ended(self, words: str) -> None:
        """A round that ends and was not over broke down: nobody knows what holds."""
        if self.round is not None:
            self.round = None
            self._status = exit_code(VerdictKind.ERROR)
            self._shows.refused(f"error: the round broke down\n{words}".rstrip())
