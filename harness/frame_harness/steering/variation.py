"""Makes new histories of kept ones: longer, shorter, with steps between, over again, of two."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from frame_harness.frame_metadata.model import Model
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.histories.commands import GIVES_BACK, READS_FIELD, Kind, Op, Operand
from frame_harness.histories.generator import Generator
from frame_harness.histories.steps import Cached, Got, Listed, Origin, Step

Part = Step | int
"""A step, or how many the generator makes up at this place."""

MOST_STEPS = 400
_TIMES = (2, 2, 4, 8, 20, 70)
"""How often a few steps are repeated; the last is more than a CPU cache holds."""
_MOST_REPEATED = 160


class Varied:
    """Chooses the steps of a history that was made of others, and makes up those that are new."""

    def __init__(self, parts: Sequence[Part], rng: random.Random, avoid: Collection[str] = ()) -> None:
        self._parts = deque(parts)
        self._fresh = 0
        given = [part.number for part in parts if isinstance(part, Step)]
        self._given = frozenset(given)
        self._generator = Generator(rng, avoid)
        self._generator.begin_at(max(given, default=-1) + 1)

    def next(self, model: Model) -> Step | None:
        """The next step, None at the end."""
        while not self._fresh:
            if not self._parts:
                return None
            part = self._parts.popleft()
            if isinstance(part, Step):
                return part
            self._fresh = part
        self._fresh -= 1
        return self._generator.next(model)

    def note(self, step: Step, handed_out: tuple[int, ...]) -> None:
        """Learn what a step handed out, and what a given one took back."""
        self._generator.note(step, handed_out)
        if step.number in self._given and step.op in GIVES_BACK and isinstance(step.operands[0], Got):
            self._generator.was_released(step.operands[0])


def varied(steps: Sequence[Step], other: Sequence[Step], rng: random.Random) -> list[Part]:
    """A history made of a kept one, now and then with another one behind it."""
    ways: Sequence[tuple[Callable[[Sequence[Step], random.Random], list[Part]], int]] = (
        (_longer, 30), (_cut, 12), (_between, 22), (_without, 6), (_again, 14), (_changed, 16),
    )  # fmt: skip
    way = rng.choices([each for each, _ in ways], [weight for _, weight in ways])[0]
    parts = way(steps, rng)
    if rng.random() < 0.1:
        parts += _renumbered(other, 1 + max((each.number for each in parts if isinstance(each, Step)), default=0))
    if way is not _longer and rng.random() < 0.4:
        parts.append(rng.randrange(1, 12))
    return parts[:MOST_STEPS]


def _longer(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    return [*steps, rng.choice((2, 4, 8, 16, 32, 64))]


def _cut(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    return [*steps[: rng.randrange(len(steps) + 1)], rng.choice((4, 8, 16, 32))]


def _between(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    at = rng.randrange(len(steps) + 1)
    return [*steps[:at], rng.randrange(1, 7), *steps[at:]]


def _without(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    first, end = _stretch(steps, rng, len(steps))
    return [*steps[:first], *steps[end:]]


def _again(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    """A few steps over and over: caches fill and counts grow."""
    first, end = _stretch(steps, rng, rng.choice((1, 1, 2, 3, 6)))
    stretch, parts = steps[first:end], list[Part](steps[:end])
    number = 1 + max((step.number for step in steps), default=0)
    for _ in range(min(rng.choice(_TIMES), _MOST_REPEATED // max(len(stretch), 1))):
        copied = _renumbered(stretch, number)
        number += len(stretch)
        parts += copied
    return [*parts, *steps[end:]]


def _changed(steps: Sequence[Step], rng: random.Random) -> list[Part]:
    """One operand of a step is another one."""
    places = [at for at, step in enumerate(steps) if step.operands]
    if not places:
        return list(steps)
    at = rng.choice(places)
    return [*steps[:at], _other_operand(steps[at], rng), *steps[at + 1 :]]


def _stretch(steps: Sequence[Step], rng: random.Random, most: int) -> tuple[int, int]:
    if not steps:
        return 0, 0
    first = rng.randrange(len(steps))
    return first, min(len(steps), first + rng.randrange(1, most + 1))


def _renumbered(steps: Sequence[Step], first: int) -> list[Step]:
    """Copies with numbers of their own; what they name of each other they name of the copies."""
    numbers = {step.number: first + index for index, step in enumerate(steps)}

    def moved(operand: Operand | Origin) -> Operand | Origin:
        if isinstance(operand, Got) and operand.step in numbers:
            return replace(operand, step=numbers[operand.step])
        return operand

    return [
        Step(numbers[step.number], step.op, tuple(moved(each) for each in step.operands)) for step in steps
    ]


_NEAR_ENDS = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
_ANY_VALUE = frozenset({Op.SET_GENERATION, Op.META_AUX_STORE, Op.SET_GUARD, Op.FETCH_OR_GUARD})
"""Commands that may store whatever there is."""
_ANY_FRAME = frozenset({Op.INC_REF, Op.DEC_REF, Op.MARK_POISONED, Op.SET_GENERATION, *READS_FIELD})
"""Commands that nobody needs to hold the frame for."""


def _other_operand(step: Step, rng: random.Random) -> Step:
    """The same step with one operand changed, within what a user of the module may ask for."""
    at = rng.randrange(len(step.operands))
    return replace(
        step, operands=(*step.operands[:at], _other(step, at, rng), *step.operands[at + 1 :])
    )


def _other(step: Step, at: int, rng: random.Random) -> Operand | Origin:
    operand, kind = step.operands[at], step.op.kinds[min(at, len(step.op.kinds) - 1)]
    match operand:
        case Got() | Cached() | Listed() if step.op in _ANY_FRAME:
            return rng.choice((operand, Cached(rng.randrange(8)), Listed(rng.randrange(24), rng.randrange(16))))
        case Migratetype():
            return rng.choice(list(Migratetype))
        case int() if kind is Kind.COUNT and step.op is Op.CAS_REFCOUNT:
            return max(1, operand + rng.choice((-1, 1, 2)))
        case int() if step.op in _ANY_VALUE:
            return rng.choice(_NEAR_ENDS)
        case int() if step.op is Op.FILL and at == 1:
            return rng.randrange(256)
    return operand
