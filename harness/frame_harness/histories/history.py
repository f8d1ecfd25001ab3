"""Plays histories in an lockstep: random ones, given ones, ever shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frame_harness.histories.attribution import AT_BOOT, AT_THE_END, Blame, blame
from frame_harness.histories.differences import Difference
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
        lines: the same as they were sent.
    """

    blame: Blame
    difference: Difference
    steps: tuple[Step, ...]
    lines: tuple[str, ...]
    at_the_end: bool

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
    lines: list[str] = []

    def failure(line: str, difference: Difference) -> Failure:
        blamed = blame(lines, line, lockstep.last, difference)
        return Failure(blamed, difference, tuple(steps), tuple(lines), line == AT_THE_END)

    if lockstep.at_boot is not None:
        return failure(AT_BOOT, lockstep.at_boot)
    while (step := choose()) is not None:
        line = step.line(results, lockstep.model)
        if line is None:
            continue
        steps.append(step)
        lines.append(line)
        difference, results[step.number] = lockstep.run(line)
        if difference is not None:
            return failure(line, difference)
        if lockstep.parted:
            return None
        if note is not None:
            note(step, results[step.number])
        if len(lines) % JUDGE_EVERY == 0 and (difference := lockstep.judge()):
            return failure(AT_THE_END, difference)
    if difference := lockstep.finish():
        return failure(AT_THE_END, difference)
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
