"""Rounds of histories as tasks of a campaign: each begins with what all rounds so far have kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from frame_harness.base.record import Count, Record
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.engine import Running
from frame_harness.campaigns.images import SentImage
from frame_harness.frame_histories.lockstep import OwnHost
from frame_harness.frame_histories.scripts import Script, parse
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.machine.definition import Machine
from frame_harness.steering.campaign import Campaign, FoundCause
from frame_harness.steering.corpus import CorpusEntry
from frame_harness.steering.features import Feature
from frame_harness.steering.folder import name_of, reason, script_of
from frame_harness.steering.player import Player

ROUND_COMMANDS = 4_000
"""Of one round: long beside the start of its guests, short beside a campaign."""


class KeptText(Record, frozen=True, kw_only=True):
    """A kept history as it travels: its script, what it reaches."""

    script: str
    features: tuple[tuple[int | str, ...], ...]

    @property
    def commands(self) -> int:
        """How many commands the script has."""
        return sum(not line.startswith("#") for line in self.script.splitlines())


class RoundTask(Record, frozen=True, kw_only=True):
    """What a worker plays.

    Attributes:
        known: clauses that are known to be broken.
    """

    seed: str
    commands: Count
    judged: SentImage
    counting: SentImage | None
    machine: Machine
    corpus: tuple[KeptText, ...] = ()
    known: tuple[str, ...] = ()


class PlayedRound(Record, frozen=True, kw_only=True):
    """What a round came to: kept histories, and a script for each cause that it found."""

    histories: Count
    commands: Count
    cut_off: Count = 0
    kept: tuple[KeptText, ...] = ()
    found: tuple[str, ...] = ()
    lengths: tuple[Count, ...] = ()
    """Commands of the histories that the scripts in `found` were made of."""
    unconfirmed: tuple[str, ...] = ()


def play_round(given: RoundTask) -> PlayedRound:
    """Play histories for so many commands."""
    host = OwnHost(given.judged.image(FRAME_METADATA), given.machine)
    counting = None
    if given.counting is not None:
        counting = OwnHost(given.counting.image(FRAME_METADATA), given.machine)
    found: list[FoundCause] = []
    kept: list[CorpusEntry] = []
    with Player(host, counting) as player:
        campaign = Campaign(player, given.seed, kept=kept.append, known=given.known)
        for text in given.corpus:
            script = parse(text.script, "corpus")
            features = frozenset(text.features)
            campaign.corpus.take(script.commands, script.boot_config, script.seed, features)
        tally = campaign.run(lambda so_far: so_far.commands < given.commands, found.append)
        best = set(map(id, campaign.corpus.entries))
        return PlayedRound(
            histories=tally.histories,
            commands=tally.commands,
            cut_off=tally.cut_off,
            kept=tuple(text_of(entry, player)[1] for entry in kept if id(entry) in best),
            found=tuple(each.script.text for each in found),
            lengths=tuple(each.length for each in found),
            unconfirmed=tally.unconfirmed_words,
        )


def text_of(entry: CorpusEntry, player: Player) -> tuple[Script, KeptText]:
    """A kept history as a script, and as it travels."""
    image, why = player.judged.image, ""
    if player.counting is not None:
        why = reason(entry, player.branches, player.counting.image)
    script = script_of(entry, player.judged.machine, image.profile, why)
    features = tuple(tuple(map(_plain, each)) for each in sorted(entry.features, key=str))
    return script, KeptText(script=script.text, features=features)


def _plain(part: int | str) -> int | str:
    """Without the types that JSON does not know."""
    return int(part) if isinstance(part, int) else part


def is_finding(played: PlayedRound) -> bool:
    """Whether a round found something."""
    return bool(played.found)


@dataclass
class Rounds:
    """Has rounds played, each with the corpus of its moment; puts their results together.

    Args:
        first: a round without a seed of its own and a corpus.
    """

    first: RoundTask
    corpus: dict[str, KeptText] = field(default_factory=dict)
    scripts: dict[tuple[str, str], Script] = field(default_factory=dict)
    """By clause and cause the shortest."""
    histories: int = 0
    commands: int = 0
    cut_off: int = 0
    lost: int = 0
    """Rounds that came to no result."""
    unconfirmed: dict[str, None] = field(default_factory=dict)
    _submitted: int = 0

    def run(
        self,
        running: Running[RoundTask, PlayedRound],
        go_on: Callable[[int], bool],
        say: Callable[[Script, int], None],
    ) -> None:
        """Play rounds until `go_on` says no, given how many there were.

        Args:
            say: is told of each cause once, with the length of the history that showed it first.
        """
        self._submit(running, go_on)
        for done in running.results():
            if isinstance(done.result, Lost):
                self.lost += 1
            else:
                for script, length in self._taken(done.result):
                    say(script, length)
            self._submit(running, go_on)

    def _submit(self, running: Running[RoundTask, PlayedRound], go_on: Callable[[int], bool]) -> None:
        while running.room > 0 and go_on(self._submitted):
            seed = f"{self.first.seed}.{self._submitted}"
            known = tuple(sorted({clause for clause, _ in self.scripts}))
            payload = RoundTask(
                seed=seed, commands=self.first.commands, judged=self.first.judged,
                counting=self.first.counting, machine=self.first.machine,
                corpus=tuple(self.fewest()), known=known,
            )  # fmt: skip
            running.submit(seed, payload)
            self._submitted += 1

    def fewest(self) -> Iterator[KeptText]:
        """Of all kept histories those that are the shortest for something."""
        shortest: dict[Feature, KeptText] = {}
        for _, text in sorted(self.corpus.items()):
            for feature in text.features:
                other = shortest.get(feature)
                if other is None or text.commands < other.commands:
                    shortest[feature] = text
        needed = set(map(id, shortest.values()))
        return (text for _, text in sorted(self.corpus.items()) if id(text) in needed)

    def _taken(self, played: PlayedRound) -> Iterable[tuple[Script, int]]:
        self.histories += played.histories
        self.commands += played.commands
        self.cut_off += played.cut_off
        self.unconfirmed.update(dict.fromkeys(played.unconfirmed))
        for text in played.kept:
            self.corpus[name_of(parse(text.script, "corpus"))] = text
        for written, length in zip(played.found, played.lengths, strict=True):
            script = parse(written, "finding")
            key = (script.clause, script.cause)
            if key not in self.scripts:
                yield script, length
            if key not in self.scripts or len(script.commands) < len(self.scripts[key].commands):
                self.scripts[key] = script

    def name_of(self, text: KeptText) -> str:
        """What a kept history is saved as."""
        return next(name for name, each in self.corpus.items() if each is text)
