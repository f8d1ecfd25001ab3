"""Plays histories in an lockstep: random ones, given ones, ever shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frame_harness.histories.attribution import Blame, blame
from frame_harness.histories.commands import Command
from frame_harness.histories.differences import Difference, Look
from frame_harness.histories.generator import Generator
from frame_harness.histories.lockstep import Lockstep
from frame_harness.histories.steps import Step

JUDGE_EVERY = 100
STEPS_AFTER_ABUSE = 24
"""Once its user broke the lists, a history is soon over: there is less and less left to be right or wrong."""


@dataclass(frozen=True)
class Failure:
    """Where a history left what was predicted.

    Args:
        steps: those that were carried out, the last one at fault, or all when it showed at the end.
        commands: the same with the frames that they named.
        seen: the command after which it showed, or the look that showed it.
    """

    blame: Blame
    difference: Difference
    steps: tuple[Step, ...]
    commands: tuple[Command, ...]
    seen: Command | Look

    @property
    def clause(self) -> str:
        return self.blame.clause


Choose = Callable[[], Step | None]


def play(
    lockstep: Lockstep, choose: Choose, note: Callable[[Step, tuple[int, ...]], None] | None = None
) -> Failure | None:
    """Carry out steps from the state after boot until one is not as predicted, or there are no more."""
    lockstep.reset()
    results: dict[int, tuple[int, ...]] = {}
    steps: list[Step] = []
    commands: list[Command] = []

    def failure(seen: Command | Look, difference: Difference) -> Failure:
        blamed = blame(commands, seen, lockstep.last, difference)
        return Failure(blamed, difference, tuple(steps), tuple(commands), seen)

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
        if lockstep.parted:
            return None
        if note is not None:
            note(step, results[step.number])
        if len(commands) % JUDGE_EVERY == 0 and (difference := lockstep.judge()):
            return failure(Look.AT_THE_END, difference)
    if difference := lockstep.finish():
        return failure(Look.AT_THE_END, difference)
    return None


def play_random(lockstep: Lockstep, generator: Generator, length: int) -> Failure | None:
    """A history of so many steps; a shorter one when its user breaks the lists."""
    left = length

    def choose() -> Step | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        if not lockstep.interpreter.sound:
            left = min(left, STEPS_AFTER_ABUSE)
        return generator.next(lockstep.model)

    return play(lockstep, choose, generator.note)


def play_again(lockstep: Lockstep, steps: Sequence[Step]) -> Failure | None:
    """Given steps; those whose operands mean nothing are left out."""
    left = iter(steps)
    return play(lockstep, lambda: next(left, None))
