"""Plays histories in lockstep with the model: random ones, given ones, ever shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.frame_histories.ahead import Ahead, Mismatch
from frame_harness.frame_histories.attribution import Blame, blame
from frame_harness.frame_histories.commands import Command, Op
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_histories.lockstep import Lockstep
from frame_harness.frame_histories.steps import Step
from frame_harness.frame_metadata.model import Model

JUDGE_EVERY = 100
"""All invariants are judged behind so many commands, of a batch at its end, and at the end of a history."""
MOST_IN_BATCH = 100
STEPS_AFTER_ABUSE = 24
"""Once its user broke the lists, a history is soon over: there is less and less left to be right or wrong."""


@dataclass(frozen=True)
class HistoryFailure:
    """Where a history left what was predicted."""

    blame: Blame
    difference: HistoryDifference
    steps: tuple[Step, ...]
    """Those that were carried out, the last one at fault, or all when it showed at the end."""
    commands: tuple[Command, ...]
    """The same with the frames that they named."""
    seen: Command | Look
    """The command after which it showed, or the look that showed it."""
    only_in_batch: bool = False
    """Played again one command at a time the history is as predicted: so no shorter one can be found."""

    @property
    def clause(self) -> str:
        """The id of the clause that the difference is counted against."""
        return self.blame.clause


Choose = Callable[[], Step | None]


class StepWriter(Protocol):
    """Who says which step comes next, and hears what it handed out; the random `Generator` is one."""

    def next(self, model: Model) -> Step | None: ...

    def note(self, step: Step, handed_out: tuple[Paddr, ...]) -> None: ...


class Watcher(Protocol):
    """Who looks on while a history is played in batches."""

    def command(self, command: Command, prediction: Prediction) -> None: ...

    def batch(self, n_steps: int) -> None:
        """A batch was as predicted, and with it so many steps."""


def play(lockstep: Lockstep, choose: Choose) -> HistoryFailure | None:
    """Carry out steps from the state after boot until one is not as predicted, or there are no more."""
    lockstep.reset()
    results: dict[int, tuple[Paddr, ...]] = {}
    steps: list[Step] = []
    commands: list[Command] = []

    def failure(seen: Command | Look, difference: HistoryDifference) -> HistoryFailure:
        blamed = blame(commands, seen, lockstep.last, difference)
        return HistoryFailure(blamed, difference, tuple(steps), tuple(commands), seen)

    if lockstep.at_boot is not None:
        return failure(Look.AT_BOOT, lockstep.at_boot)
    while (step := choose()) is not None:
        command = step.command(results, lockstep.model)
        if command is None:
            continue
        steps.append(step)
        commands.append(command)
        difference, results[step.number] = lockstep.run(command)
        if difference is not None:
            return failure(command, difference)
        if lockstep.without_verdict:
            return None
        if len(commands) % JUDGE_EVERY == 0 and (difference := lockstep.judge()):
            return failure(Look.AT_THE_END, difference)
    if difference := lockstep.finish():
        return failure(Look.AT_THE_END, difference)
    return None


def play_random(
    lockstep: Lockstep,
    generator: StepWriter,
    length: int,
    *,
    both_ways: bool = False,
    watcher: Watcher | None = None,
    most: int = MOST_IN_BATCH,
) -> HistoryFailure | None:
    """A history of so many steps; a shorter one when its user breaks the lists.

    It is played in batches. Where one is not as predicted the history is played again, one command at a time,
    which tells the finding.

    Args:
        both_ways: play it one command at a time in any case.
        most: commands in a batch.
    Raises:
        HarnessError: a frame is kept from everybody when it is played one at a time, but not in a batch.
    """
    left = length

    def choose() -> Step | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        if not lockstep.interpreter.sound:
            left = min(left, STEPS_AFTER_ABUSE)
        return generator.next(lockstep.model)

    steps, unlike = _play_ahead(lockstep, choose, generator.note, watcher, most)
    if unlike is None and not both_ways:
        return None
    failure = play_again(lockstep, steps)
    if failure is not None or (lockstep.without_verdict and unlike is not None):
        return failure
    if lockstep.without_verdict:
        raise HarnessError(
            "history", expected="the same in a batch as one command at a time",
            actual="a frame that is kept from everybody, one command at a time only",
            next_step="report this",
        )  # fmt: skip
    return unlike


def play_again(lockstep: Lockstep, steps: Sequence[Step]) -> HistoryFailure | None:
    """Given steps; those whose operands mean nothing are left out."""
    left = iter(steps)
    return play(lockstep, lambda: next(left, None))


def _play_ahead(
    lockstep: Lockstep,
    choose: Choose,
    note: Callable[[Step, tuple[Paddr, ...]], None],
    watcher: Watcher | None,
    most: int,
) -> tuple[list[Step], HistoryFailure | None]:
    """Play a history in batches; returns its steps, and where it was not as predicted."""
    lockstep.reset()
    results: dict[int, tuple[Paddr, ...]] = {}
    steps: list[Step] = []
    commands: list[Command] = []
    batch = Ahead(lockstep)
    judged = 0

    def ended(*, for_good: bool) -> HistoryFailure | None:
        nonlocal judged
        before = len(commands) - len(batch)
        wrong = batch.run()
        if wrong is None and (for_good or len(commands) - judged >= JUDGE_EVERY):
            judged = len(commands)
            difference = lockstep.judge()
            wrong = Mismatch(difference) if difference else None
        lockstep.payload_unknown = lockstep.payload_unknown or wrong is not None
        if wrong is None and watcher is not None:
            watcher.batch(len(steps))
        return _only_in_batch(steps, commands, before, wrong) if wrong else None

    if lockstep.at_boot is not None:
        return steps, _only_in_batch(steps, commands, 0, Mismatch(lockstep.at_boot))
    while (step := choose()) is not None:
        command = step.command(results, lockstep.model)
        if command is None:
            continue
        steps.append(step)
        commands.append(command)
        results[step.number] = batch.add(command)
        if watcher is not None:
            watcher.command(command, batch.planned[-1].prediction)
        note(step, results[step.number])
        full = command.op is Op.ALLOC_ALL or len(batch) >= most
        if full and (failure := ended(for_good=False)):
            return steps, failure
    return steps, ended(for_good=True)


def _only_in_batch(
    steps: Sequence[Step], commands: Sequence[Command], before: int, wrong: Mismatch
) -> HistoryFailure:
    """What to tell of a history that is as predicted when it is played one command at a time."""
    until = len(commands) if wrong.at is None else before + wrong.at + 1
    seen = Look.AT_THE_END if wrong.at is None else commands[until - 1]
    difference = replace(wrong.difference, what=f"{wrong.difference.what} (in a batch, not one by one)")
    blamed = blame(commands[:until], seen, wrong.prediction, difference)
    return HistoryFailure(
        blamed, difference, tuple(steps[:until]), tuple(commands[:until]), seen, only_in_batch=True
    )
