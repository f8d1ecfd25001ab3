"""Plays histories on two images of a subject: one that counts its branches, and the one that is judged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from frame_harness.base.units import Paddr
from frame_harness.frame_histories.commands import Command
from frame_harness.frame_histories.history import HistoryFailure, StepWriter, play_again, play_random
from frame_harness.frame_histories.lockstep import BootConfig, Host, Lockstep
from frame_harness.frame_histories.steps import Step
from frame_harness.image.branches import Branches
from frame_harness.steering.features import Feature, Observer

BATCH = 20
"""Commands between two looks at the counters: so exactly is known where a history reached something."""


@dataclass(frozen=True)
class PlayedHistory:
    """What became of a history.

    Args:
        failure: where it was not as predicted.
        steps, commands: those that were carried out.
        reached: each feature with the steps that it took; of a failure those before it.
        cut_off: it ended where the module did what is allowed and the model cannot follow.
    """

    failure: HistoryFailure | None
    steps: tuple[Step, ...]
    commands: tuple[Command, ...]
    reached: dict[Feature, int]
    cut_off: bool = False


class _Noting:
    """Passes steps on, and keeps those that were carried out."""

    def __init__(self, writer: StepWriter) -> None:
        self._writer = writer
        self.next = writer.next
        self.steps: list[Step] = []

    def note(self, step: Step, handed_out: tuple[Paddr, ...]) -> None:
        self.steps.append(step)
        self._writer.note(step, handed_out)


class Player:
    """One guest for each image and memory map, started when it is first needed.

    Args:
        judged: where guests of the ordinary image come from: what is found counts when it shows there.
        counting: where those of the image that counts branches come from; None for blind histories alone.
    """

    def __init__(self, judged: Host, counting: Host | None) -> None:
        self.judged, self.counting = judged, counting
        self._branches = None if counting is None else Branches.of(counting.image)
        self._guests = ExitStack()
        self._by_config: dict[tuple[str, bool], Lockstep] = {}

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self._guests.close()

    @property
    def commands(self) -> int:
        """That were compared with the model, on all guests."""
        return sum(guest.commands for guest in self._by_config.values())

    @property
    def branches(self) -> Branches:
        """The counters of the image that has them."""
        if self._branches is None:
            raise ValueError("no image counts branches")
        return self._branches

    @property
    def guests(self) -> Iterable[Lockstep]:
        """Those that were needed so far."""
        return self._by_config.values()

    def guest(self, boot_config: BootConfig, *, counting: bool = False) -> Lockstep:
        """The guest for a memory map."""
        key = (repr(boot_config), counting)
        if key not in self._by_config:
            host = self.judged if self.counting is None or not counting else self.counting
            self._by_config[key] = self._guests.enter_context(Lockstep(host, boot_config))
        return self._by_config[key]

    def play(
        self, writer: StepWriter, boot_config: BootConfig, most_steps: int, batch: int = BATCH
    ) -> PlayedHistory:
        """Play a history on the image that counts, and see what it reaches; of 1, behind which command."""
        guest = self.guest(boot_config, counting=True)
        observer, noting = Observer(guest, self._branches), _Noting(writer)
        failure = play_random(guest, noting, most_steps, watcher=observer, most=batch)
        cut_off = failure is None and guest.without_verdict
        return PlayedHistory(
            failure, tuple(noting.steps), tuple(observer.commands), observer.reached, cut_off
        )

    def confirm(self, failure: HistoryFailure, boot_config: BootConfig) -> HistoryFailure | None:
        """The same history on the image that is judged."""
        return play_again(self.guest(boot_config), failure.steps)
