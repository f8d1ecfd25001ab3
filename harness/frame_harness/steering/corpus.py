"""Histories that are kept, each the shortest known to reach something."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from frame_harness.frame_histories.commands import Command
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.steps import Step
from frame_harness.steering.features import Feature, FeatureKind
from frame_harness.steering.player import PlayedHistory

WEIGHTS: Mapping[int, float] = {
    FeatureKind.BRANCH: 16.0,
    FeatureKind.COUNT: 0.2,
    FeatureKind.REPLY: 0.5,
    FeatureKind.PAIR: 0.1,
    FeatureKind.STATE: 0.5,
}
"""What a feature is worth when it is as rare as another one."""


FOR_LATEST, LATEST = 0.45, 6
"""Chance that one of those entries is varied that run one of so many branches that were found last."""
FOR_RARE = 0.4
"""Chance that one of those entries is varied that run a rare branch."""
RARE = 0.12
"""A branch is rare that a smaller share of all histories ran."""


@dataclass(eq=False)
class CorpusEntry:
    """A history that reaches something in fewer steps than any other one.

    Args:
        commands: the same, with the frames that they named.
        name: `seed:number` of the history, or its file.
        steps: none yet of one that another process kept: it has to be played first.
        features: all that it reaches.
        best: those that it is the shortest for.
    """

    steps: tuple[Step, ...]
    commands: tuple[Command, ...]
    boot_config: BootConfig
    name: str
    features: frozenset[Feature]
    best: set[Feature] = field(default_factory=set)
    chosen: int = 0
    """How often it was varied."""
    trimmed: bool = False
    """Whether steps that nothing rare depends on were looked for."""


class Corpus:
    """The entries, and how often each feature was seen."""

    def __init__(self) -> None:
        self.entries: list[CorpusEntry] = []
        self._shortest: dict[Feature, CorpusEntry] = {}
        self._hits: dict[Feature, int] = {}
        self._played = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def features(self) -> Collection[Feature]:
        """Everything that some kept history reaches."""
        return self._shortest.keys()

    def add(self, played: PlayedHistory, boot_config: BootConfig, name: str) -> list[CorpusEntry]:
        """Learn what a history reached; keep as much of it as reaches something new, or does so sooner.

        Returns:
            what was kept: nothing, the beginning of the history, or two beginnings: for what is new, and for
            branches that others needed a fifth more steps for.
        """
        reached = played.reached
        self._played += 1
        for feature in reached:
            self._hits[feature] = self._hits.get(feature, 0) + 1
        kept = []
        if new := [feature for feature in reached if feature not in self._shortest]:
            kept.append(self._keep(played, boot_config, name, max(reached[feature] for feature in new)))
        sooner = [
            until
            for feature, until in reached.items()
            if feature[0] == FeatureKind.BRANCH and 1.2 * until <= len(self._shortest[feature].commands)
        ]
        if sooner:
            kept.append(self._keep(played, boot_config, name, max(sooner)))
        return kept

    def _keep(self, played: PlayedHistory, boot_config: BootConfig, name: str, until: int) -> CorpusEntry:
        features = frozenset(feature for feature, at in played.reached.items() if at <= until)
        entry = CorpusEntry(played.steps[:until], played.commands[:until], boot_config, name, features)
        for feature, at in played.reached.items():
            other = self._shortest.get(feature)
            if at > until or (other is not None and len(other.commands) <= until):
                continue
            if other is not None:
                other.best.discard(feature)
            self._shortest[feature] = entry
            entry.best.add(feature)
        self.entries = [*(each for each in self.entries if each.best), entry]
        return entry

    def take(
        self, commands: tuple[Command, ...], boot_config: BootConfig, name: str, features: frozenset[Feature]
    ) -> None:
        """Take over what another process kept."""
        entry = CorpusEntry((), commands, boot_config, name, features)
        for feature in sorted(features, key=str):
            self._hits[feature] = self._hits.get(feature, 0) + 1
            other = self._shortest.get(feature)
            if other is None or len(commands) < len(other.commands):
                if other is not None:
                    other.best.discard(feature)
                self._shortest[feature] = entry
                entry.best.add(feature)
        self.entries = [each for each in (*self.entries, entry) if each.best]

    def drop(self, entry: CorpusEntry) -> None:
        """Forget an entry that cannot be played here."""
        self.entries.remove(entry)
        for feature in entry.best:
            del self._shortest[feature]

    def choose(self, rng: random.Random) -> CorpusEntry:
        """An entry, rather one that runs a branch that was found late or that few histories ran."""
        among = self._among(rng)
        weights = [self._worth(entry) / (1 + entry.chosen) ** 0.5 for entry in among]
        entry = rng.choices(among, weights)[0]
        entry.chosen += 1
        return entry

    def _among(self, rng: random.Random) -> list[CorpusEntry]:
        """Those that one is chosen of."""
        way = rng.random()
        if way < FOR_LATEST:
            # Each by itself: what was found behind much else is one condition away from what lies behind it.
            found = [feature for feature in self._shortest if feature[0] == FeatureKind.BRANCH][-LATEST:]
            return [self._shortest[rng.choice(found)]] if found else self.entries
        rare = [entry for entry in self.entries if self.rare_branches(entry)]
        return rare if rare and way < FOR_LATEST + FOR_RARE else self.entries

    def choose_beside(self, rng: random.Random) -> CorpusEntry:
        """Any entry, to be put behind another one."""
        return rng.choice(self.entries)

    def rare_branches(self, entry: CorpusEntry) -> frozenset[Feature]:
        """Those of an entry's that few histories ran."""
        most = 2 + RARE * self._played
        return frozenset(
            each for each in entry.best if each[0] == FeatureKind.BRANCH and self._hits.get(each, 0) <= most
        )

    def _worth(self, entry: CorpusEntry) -> float:
        return sum(sorted(WEIGHTS[int(each[0])] / self._hits.get(each, 1) for each in entry.best)) + 1e-6


def fewest(entries: Iterable[CorpusEntry]) -> list[CorpusEntry]:
    """Entries that reach together what all do: greedily, of equals the shortest, in the order given."""
    left = list(entries)
    wanted = set().union(*(entry.features for entry in left))
    chosen = []
    while wanted:
        best = max(left, key=lambda entry: (len(entry.features & wanted), -len(entry.commands)))
        chosen.append(best)
        left.remove(best)
        wanted -= best.features
    for entry in reversed(chosen[:]):
        others: set[Feature] = set().union(*(each.features for each in chosen if each is not entry))
        if entry.features <= others:
            chosen.remove(entry)
    return chosen
