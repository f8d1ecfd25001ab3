"""What a history reached, as a set of features: branches of the subject, replies, states of the memory."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np

from frame_harness.frame_histories.commands import Command
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_histories.lockstep import Lockstep
from frame_harness.frame_metadata.model import Done, Fail, Model, Panic
from frame_harness.frame_metadata.model.buddy import CACHE_CAPACITY
from frame_harness.frame_metadata.model.zones import NONE
from frame_harness.image.branches import Branches


class FeatureKind(IntEnum):
    """What a feature is about."""

    BRANCH = 0
    COUNT = 1
    REPLY = 2
    PAIR = 3
    STATE = 4


Feature = tuple[int | str, ...]
"""A `FeatureKind`, then what it is: of a branch its number, of a count how often it ran, too, as a range."""

_N_COUNTS = 256
# Counts of these ranges are alike: 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128-255.
_BUCKETS = np.searchsorted([1, 2, 3, 4, 8, 16, 32, 128], np.arange(_N_COUNTS), side="right")
_NEARLY = 8
"""Frames that a cache may lack to be nearly full."""


class Observer:
    """Looks on while a history is played, on a guest that counts its branches or on another one."""

    def __init__(self, lockstep: Lockstep, branches: Branches | None) -> None:
        self._lockstep, self._branches = lockstep, branches
        self._of_subject = None if branches is None else np.array(branches.of_subject)
        self.commands: list[Command] = []
        self._seen: dict[Feature, int] = {}
        self._since: list[Feature] = []
        self._last: dict[int, str] = {}
        """By pfn the command that named it last."""
        if branches is not None:
            self._counters()[:] = 0

    @property
    def reached(self) -> dict[Feature, int]:
        """Each feature with the steps that it took, counted at the ends of batches."""
        return self._seen

    def command(self, command: Command, prediction: Prediction) -> None:
        """Note what a command did, as the model says; the guest is compared with it."""
        self.commands.append(command)
        op, outcome = command.op.name, prediction.outcome
        word = _word(outcome)
        self._since.append((FeatureKind.REPLY, op, word))
        if prediction.frames:
            pfn = min(prediction.frames)
            self._since.append((FeatureKind.PAIR, self._last.get(pfn, ""), op, word))
            self._last[pfn] = op
        hazards = ("wrapped", "poison_met", "quarantined", "follows_misaligned")
        self._since += [(FeatureKind.STATE, each, op) for each in hazards if getattr(prediction, each)]

    def batch(self, n_steps: int) -> None:
        """Note what is reached by now."""
        found = [*self._since, *_states(self._lockstep.model), *self._counted()]
        self._since.clear()
        for feature in found:
            self._seen.setdefault(feature, n_steps)

    def _counters(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        branches = self._branches
        if branches is None:
            return np.empty(0, np.uint8)
        return self._lockstep.kernel.bytes_at(branches.counters, branches.total)

    def _counted(self) -> Iterable[Feature]:
        """The branches of the subject that ran since the history began."""
        if self._of_subject is None:
            return ()
        counts = self._counters()[self._of_subject]
        ran = np.flatnonzero(counts)
        found: list[Feature] = [(FeatureKind.BRANCH, index) for index in ran.tolist()]
        buckets = _BUCKETS[counts[ran]].tolist()
        return found + [
            (FeatureKind.COUNT, *each) for each in zip(ran.tolist(), buckets, strict=True) if each[1] > 1
        ]


def _word(outcome: object) -> str:
    if isinstance(outcome, Panic):
        return outcome.kind.name
    return outcome.error if isinstance(outcome, Fail) else "ok" if isinstance(outcome, Done) else "other"


def _states(model: Model) -> Iterable[Feature]:
    """How full memory is, and where."""
    buddy = model.buddy
    for (cpu, kind), frames in buddy.caches.items():
        if frames:
            yield FeatureKind.STATE, "cache", cpu, int(kind), _level(len(frames))
    for zone in buddy.zones:
        orders = [order for (_, order), head in zone.heads.items() if head != NONE]
        yield FeatureKind.STATE, "largest", zone.name, max(orders, default=-1)
        yield FeatureKind.STATE, "free", zone.name, (zone.free + zone.cached).bit_length()
        yield FeatureKind.STATE, "quarantined", zone.name, zone.quarantined.bit_length()
    yield FeatureKind.STATE, "hooks", len(model.hook_calls).bit_length()


def _level(frames: int) -> int:
    """Of a cache: a quarter, or full, or nearly so."""
    if frames >= CACHE_CAPACITY - _NEARLY:
        return 4 + (frames == CACHE_CAPACITY)
    return frames * 4 // CACHE_CAPACITY
