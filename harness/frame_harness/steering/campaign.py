"""Plays histories that learn from each other, and a share of random ones; one script for each cause.

A history is kept up to the batch that reached something new, or reached it in fewer steps. Before it is
varied again, steps that its rare branches do not need are left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from frame_harness.frame_histories.boot_configs import boot_configs_for
from frame_harness.frame_histories.campaign import HISTORY_STEPS, is_played_both_ways
from frame_harness.frame_histories.commands import Command
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.history import HistoryFailure, play_random
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.shortening import Shortened, script_of, shortest
from frame_harness.frame_histories.steps import Step
from frame_harness.steering.corpus import Corpus, CorpusEntry
from frame_harness.steering.features import Feature
from frame_harness.steering.lifting import Lifted
from frame_harness.steering.player import BATCH, PlayedHistory, Player
from frame_harness.steering.variation import MOST_STEPS, Varied, varied


@dataclass(frozen=True, order=True)
class Cause:
    """What two findings share that one fix would end.

    Args:
        clause: that is broken.
        function: to blame, by its path.
        kind: of difference: `slot`, `payload`, `status`, …
        field: of the slot or of the reply that differs.
        got: the status of a reply that had to be another one.
    """

    clause: str
    function: str
    kind: str
    field: str = ""
    got: str = ""

    @classmethod
    def of(cls, failure: HistoryFailure) -> Cause:
        """The cause of a failure, which does not depend on the frames that it shows on."""
        difference = failure.difference
        return cls(
            failure.clause, failure.blame.function, difference.kind, difference.field, difference.got_status
        )

    @property
    def text(self) -> str:
        """In one line, without the clause."""
        what = " ".join(filter(None, (self.kind, self.field, self.got)))
        return f"{what} in {self.function}" if self.function else what


BLIND_SHARE = 0.2
"""Of all commands so many are those of purely random histories on the image that is judged."""
FRESH_SHARE = 0.12
"""Chance that a history on the image that counts is a new one; it is short, as the kept ones are."""
FRESH_STEPS = 60
WHOLE_SHARE = 0.05
"""Chance that a new one is played on all of memory, where it takes long to run out."""
SHORT = 8
"""A history of so many steps or fewer is left as it is."""
TRIMMED_TO = 3
"""The fewest steps that are left out at once when a history is made shorter."""
AVOIDED = 0.75
"""Chance that a history leaves out what provokes a clause that is known to be broken."""


@dataclass(frozen=True)
class FoundCause(Shortened):
    """A cause with the shortest history found that shows it.

    Attributes:
        after: commands of the campaign until then.
    """

    cause: Cause
    after: int


@dataclass
class SteeringTally:
    """What a campaign has done so far.

    Args:
        again: how often a history ended at a cause that was known by then.
        unconfirmed: causes that the image with counted branches alone shows.
        cut_off: histories that ended where the module did what is allowed and the model cannot follow.
        commands: that were compared with the model, those of shortening included.
    """

    seed: int | str
    found: dict[Cause, FoundCause] = field(default_factory=dict)
    again: dict[Cause, int] = field(default_factory=dict)
    unconfirmed: dict[Cause, HistoryFailure] = field(default_factory=dict)
    histories: int = 0
    cut_off: int = 0
    blind_commands: int = 0
    commands: int = 0

    @property
    def clauses(self) -> tuple[str, ...]:
        """The broken ones, as they were found."""
        return tuple(dict.fromkeys(cause.clause for cause in self.found))

    @property
    def unconfirmed_words(self) -> tuple[str, ...]:
        """What is unconfirmed, for a person."""
        return tuple(f"{cause.clause}: {one.difference.line}" for cause, one in self.unconfirmed.items())


@dataclass(frozen=True)
class Failed:
    """A history that showed something, on the image that is judged."""

    failure: HistoryFailure
    boot_config: BootConfig
    name: str


@dataclass(frozen=True)
class Kept:
    """A history of an earlier campaign; its name is that of its file."""

    commands: tuple[Command, ...]
    boot_config: BootConfig
    name: str


SteeringGo = Callable[[SteeringTally], bool]
SayCause = Callable[[FoundCause], None]
SayKept = Callable[[CorpusEntry], None]


class Campaign:
    """Histories of one seed; the same ones each time, given the same corpus to begin with.

    Args:
        kept: is told of each history that is kept.
        steered: False for a campaign of blind histories alone.
        known: clauses that others found broken.
    """

    def __init__(
        self,
        player: Player,
        seed: int | str,
        *,
        kept: SayKept = lambda _: None,
        steered: bool = True,
        known: Iterable[str] = (),
    ) -> None:
        self.player, self.corpus, self.tally = player, Corpus(), SteeringTally(seed)
        self._others = tuple(known)
        self._before = player.commands
        self._kept, self._steered = kept, steered and player.counting is not None
        self._known: dict[Cause, Cause] = {}
        """By the cause of a whole history that of the shortened one."""

    @property
    def commands(self) -> int:
        """That were compared with the model since this campaign began."""
        return self.player.commands - self._before

    def play(self, history: Kept) -> PlayedHistory:
        """Play a history of an earlier campaign.

        Raises:
            HarnessError, LookupError: it cannot be played on this subject.
        """
        return self.player.play(Lifted(history.commands), history.boot_config, len(history.commands))

    def begin_with(self, history: Kept, played: PlayedHistory, say: SayCause = lambda _: None) -> None:
        """Keep what a history reached that was played; what it showed is a finding, too.

        Raises:
            HarnessError: it does not show again.
        """
        failed = self._confirmed(played, history.boot_config, history.name)
        if played.failure is None:
            self.corpus.add(played, history.boot_config, history.name)
        elif failed is not None and (found := self._note(failed)):
            say(found)
        self.tally.commands = self.commands

    def run(self, go_on: SteeringGo, say: SayCause = lambda _: None) -> SteeringTally:
        """Play history after history as long as `go_on` says so.

        Args:
            say: is told of each finding once it is as short as it gets.
        """
        tally = self.tally
        while go_on(tally):
            failed = self.one()
            if failed is not None and (found := self._note(failed)):
                say(found)
            tally.commands = self.commands
            if failed is not None and not failed.failure.commands:
                break  # wrong before the first command: so is every history
        return tally

    # ---- one history -------------------------------------------------------------------------------------

    def one(self) -> Failed | None:
        """Play the next history; returns what it shows on the image that is judged."""
        tally = self.tally
        name = f"{tally.seed}:{tally.histories}"
        tally.histories += 1
        rng = random.Random(name)
        avoid = (*tally.clauses, *self._others) if rng.random() < AVOIDED else ()
        if not self._steered or tally.blind_commands < BLIND_SHARE * self.commands:
            return self._blind(name, rng, avoid)
        return self._steered_one(name, rng, avoid)

    def _blind(self, name: str, rng: random.Random, avoid: Iterable[str]) -> Failed | None:
        boot_config = self._boot_config(rng, whole=0.25)
        guest = self.player.guest(boot_config)
        before = guest.commands
        generator = Generator(rng, tuple(avoid))
        failure = play_random(guest, generator, HISTORY_STEPS, both_ways=is_played_both_ways(name))
        self.tally.cut_off += failure is None and guest.without_verdict
        self.tally.blind_commands += guest.commands - before
        self.tally.commands = self.commands
        return None if failure is None else Failed(failure, boot_config, name)

    def _steered_one(self, name: str, rng: random.Random, avoid: Iterable[str]) -> Failed | None:
        if not len(self.corpus) or rng.random() < FRESH_SHARE:
            boot_config = self._boot_config(rng, whole=WHOLE_SHARE)
            writer = Varied([FRESH_STEPS], rng, tuple(avoid))
        else:
            entry = self.corpus.choose(rng)
            boot_config = entry.boot_config
            failed = self._lift(entry) if not entry.steps else None
            if entry.steps and entry.chosen > 1 and not entry.trimmed:
                failed = self._trim(entry)
            if failed is not None or not entry.steps:
                return failed
            other = self.corpus.choose_beside(rng)
            writer = Varied(varied(entry.steps, other.steps, rng), rng, tuple(avoid))
        played = self.player.play(writer, boot_config, MOST_STEPS)
        self.tally.cut_off += played.cut_off
        self.tally.commands = self.commands
        if played.failure is None:
            for entry in self.corpus.add(played, boot_config, name):
                self._kept(entry)
        return self._confirmed(played, boot_config, name)

    def _lift(self, entry: CorpusEntry) -> Failed | None:
        """Find out where the frames of another process's entry come from; it goes where it shows a bug."""
        played = self.player.play(Lifted(entry.commands), entry.boot_config, len(entry.commands))
        entry.steps = played.steps if played.failure is None else ()
        if not entry.steps:
            self.corpus.drop(entry)
        return self._confirmed(played, entry.boot_config, entry.name)

    def _trim(self, entry: CorpusEntry) -> Failed | None:
        """Leave out what the rare branches of an entry do not need: what is made of it is shorter, too.

        A bug may show only where an earlier step is missing: a cause that is not known yet is a finding, and
        ends it.
        """
        entry.trimmed = True
        rare = self.corpus.rare_branches(entry)
        if not rare or len(entry.steps) <= SHORT:
            return None
        found = (self._confirmed(one, entry.boot_config, entry.name) for one in self._shorter(entry, rare))
        failed = next((one for one in found if one and Cause.of(one.failure) not in self._known), None)
        self.tally.commands = self.commands
        return failed

    def _shorter(self, entry: CorpusEntry, rare: frozenset[Feature]) -> Iterator[PlayedHistory]:
        """Yield histories with ever fewer of an entry's steps, each as it was played."""
        yield (played := self._played(entry, entry.steps, batch=1))
        steps = self._enough(entry, played, rare)
        size = len(steps) // 2
        while size >= TRIMMED_TO:
            end = len(steps) - 1  # the last one reaches it
            while end > 0 and size < len(steps):
                first = max(end - size, 0)
                yield (played := self._played(entry, (*steps[:first], *steps[end:])))
                steps = self._enough(entry, played, rare) or steps
                end = min(first, len(steps))
            size //= 2
        if steps:
            yield (played := self._played(entry, steps, batch=1))
            self._enough(entry, played, rare)

    def _played(self, entry: CorpusEntry, steps: tuple[Step, ...], batch: int = BATCH) -> PlayedHistory:
        writer = Varied(steps, random.Random(entry.name))
        return self.player.play(writer, entry.boot_config, MOST_STEPS, batch)

    def _enough(
        self, entry: CorpusEntry, played: PlayedHistory, rare: frozenset[Feature]
    ) -> tuple[Step, ...]:
        """Keep as many of the steps as reach the branches, and return these; none when all do not."""
        if played.failure is not None or not rare <= played.reached.keys():
            return ()
        for each in self.corpus.add(played, entry.boot_config, entry.name):
            each.trimmed = True
            self._kept(each)
        return played.steps[: max(played.reached[feature] for feature in rare)]

    def _confirmed(self, played: PlayedHistory, boot_config: BootConfig, name: str) -> Failed | None:
        """What a history shows that it shows on the image that is judged, too."""
        if played.failure is None:
            return None
        failure = self.player.confirm(played.failure, boot_config)
        self.tally.commands = self.commands
        if failure is None:
            self.tally.unconfirmed.setdefault(Cause.of(played.failure), played.failure)
            return None
        return Failed(failure, boot_config, name)

    def _boot_config(self, rng: random.Random, *, whole: float) -> BootConfig:
        configs = boot_configs_for(self.player.judged.machine)
        return configs[1] if len(configs) > 1 and rng.random() < whole else configs[0]

    # ---- findings ----------------------------------------------------------------------------------------

    def _note(self, failed: Failed) -> FoundCause | None:
        """Shorten what is new; None where its cause is known."""
        tally, seen = self.tally, Cause.of(failed.failure)
        after = self.commands
        cause = self._known.get(seen)
        if cause is None:
            found = self._shortened(failed, after)
            cause = self._known[seen] = self._known[found.cause] = found.cause
            if cause not in tally.found:
                tally.found[cause] = found
                return found
        tally.again[cause] = tally.again.get(cause, 0) + 1
        return None

    def _shortened(self, failed: Failed, after: int) -> FoundCause:
        guest = self.player.guest(failed.boot_config)
        failure = shortest(guest, failed.failure, failed.name, Cause.of)
        cause = Cause.of(failure)
        script = script_of(guest, failure, failed.name, cause.text)
        return FoundCause(failure, script, len(failed.failure.commands), cause, after)
