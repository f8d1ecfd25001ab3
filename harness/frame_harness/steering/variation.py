"""Makes new histories of kept ones: longer, shorter, with steps between, over again, of two."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from frame_harness.base.units import Paddr
from frame_harness.frame_histories.commands import (
    GIVES_BACK,
    READS_FIELD,
    CommandOperand,
    Op,
    OperandKind,
    Recipe,
)
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.steps import Cached, Got, Listed, OperandOrigin, Step
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import Model
from frame_harness.steering.about import place_about, steps_about

VariedPart = Step | int
"""A step, or how many the generator makes up at this place."""

MOST_STEPS = 400
_TIMES = (2, 2, 4, 8, 20, 70)
"""How often a few steps are repeated; the last is more than a CPU cache holds."""
_MOST_REPEATED = 160
_FOCUSED = 0.7
_LATE = 0.7
_MOST_IN_FOCUS = 100
_MOST_GIVEN_BACK = 80


class Varied:
    """Chooses the steps of a history that was made of others, and makes up those that are new."""

    def __init__(self, parts: Sequence[VariedPart], rng: random.Random, avoid: Collection[str] = ()) -> None:
        self._parts = deque(parts)
        self._fresh = 0
        given = [part.number for part in parts if isinstance(part, Step)]
        self._given = frozenset(given)
        self._generator = Generator(rng, avoid, first=max(given, default=-1) + 1)
        self._rng = rng
        self._uses = Counter(
            operand
            for part in parts
            if isinstance(part, Step)
            for operand in part.operands
            if isinstance(operand, Got)
        )

    def next(self, model: Model) -> Step | None:
        """The next step, None at the end."""
        while not self._fresh:
            if not self._parts:
                return None
            part = self._parts.popleft()
            if isinstance(part, Step):
                return part
            self._fresh = part
            self._focus()
        self._fresh -= 1
        return self._generator.next(model)

    def note(self, step: Step, handed_out: tuple[Paddr, ...]) -> None:
        """Learn what a step handed out, and what a given one took back."""
        self._generator.note(step, handed_out)
        if step.number in self._given and step.op in GIVES_BACK:
            held = (each for each in reversed(self._generator.held) if each.got == step.operands[0])
            if gone := next(held, None):
                self._generator.drop(gone)

    def _focus(self) -> None:
        """Let the next new steps be about one block, rather one that many given steps are about."""
        held = self._generator.held[-_MOST_IN_FOCUS:]
        if held and self._rng.random() < _FOCUSED:
            weights = [1 + 4 * self._uses[each.got] for each in held]
            self._generator.focus = self._rng.choices(held, weights)[0]
        else:
            self._generator.focus = None


def varied(steps: Sequence[Step], other: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    """A history made of a kept one, now and then with another one behind it."""
    ways: Sequence[tuple[Callable[[Sequence[Step], random.Random], list[VariedPart]], int]] = (
        (_longer, 14), (_cut, 8), (_between, 12), (_about, 34), (_without, 3), (_again, 8), (_changed, 18),
        (_all_back, 5),
    )  # fmt: skip
    way = rng.choices([each for each, _ in ways], [weight for _, weight in ways])[0]
    parts = way(steps, rng)
    if rng.random() < 0.1:
        parts += _renumbered(
            other, 1 + max((each.number for each in parts if isinstance(each, Step)), default=0)
        )
    if way is not _longer and rng.random() < 0.25:
        parts.append(rng.randrange(1, 12))
    return parts[:MOST_STEPS]


def _longer(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    return [*steps, rng.choice((2, 4, 8, 8, 16, 32))]


def _cut(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    return [*steps[: rng.randrange(len(steps) + 1)], rng.choice((4, 8, 16, 32))]


def _between(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    at = rng.randrange(len(steps) + 1)
    return [*steps[:at], rng.randrange(1, 7), *steps[at:]]


def _about(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    """Much is done to one block, ahead of a step that names it."""
    place = place_about(steps, rng)
    if place is None:
        return _longer(steps, rng)
    at, got, claimed = place
    number = 1 + max(step.number for step in steps)
    return [*steps[:at], *steps_about(got, rng.randrange(2, 14), number, rng, claimed=claimed), *steps[at:]]


def _without(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    first, end = _stretch(steps, rng, len(steps))
    return [*steps[:first], *steps[end:]]


def _again(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    """A few steps over and over: caches fill and counts grow."""
    first, end = _stretch(steps, rng, rng.choice((1, 1, 2, 3, 6)))
    stretch, parts = steps[first:end], list[VariedPart](steps[:end])
    number = 1 + max((step.number for step in steps), default=0)
    for turn in range(1, 1 + min(rng.choice(_TIMES), _MOST_REPEATED // max(len(stretch), 1))):
        copied = [_of_another(step, turn) for step in _renumbered(stretch, number)]
        number += len(stretch)
        parts += copied
    return [*parts, *steps[end:]]


def _of_another(step: Step, turn: int) -> Step:
    """Of steps that are repeated, one that gives a frame back gives another one back each time."""
    match step.operands:
        case (Got() as got, *rest) if step.op in GIVES_BACK:
            return step._replace(operands=(replace(got, index=got.index + turn), *rest))
    return step


def _all_back(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    """Whoever holds the frames ends, and gives them back one after the other."""
    gone = {step.operands[0] for step in steps if step.op in GIVES_BACK}
    held: list[Got] = []
    for step in steps:
        if step.op is Op.ALLOC:
            held.append(Got(step.number))
        elif step.op is Op.ALLOC_ALL:
            held += [Got(step.number, index) for index in range(_MOST_GIVEN_BACK)]
    left = [got for got in held if got not in gone]
    number = 1 + max((step.number for step in steps), default=0)
    chosen = left[: rng.randrange(1, _MOST_GIVEN_BACK + 1)]
    if rng.random() < 0.5:
        chosen.reverse()
    back = [Step(number + at, Op.RELEASE, (got, 0)) for at, got in enumerate(chosen)]
    return [*steps, *back, rng.choice((1, 2, 4, 8))]


def _changed(steps: Sequence[Step], rng: random.Random) -> list[VariedPart]:
    """One operand of a step or two is another one, rather of a late step: the last reaches what is kept."""
    changed = list(steps)
    places = [at for at, step in enumerate(steps) if step.operands]
    for _ in range(rng.choice((1, 1, 2)) if places else 0):
        at = rng.choice(places[-3:] if rng.random() < _LATE else places)
        changed[at] = _other_operand(changed[at], rng)
    return list[VariedPart](changed)


def _stretch(steps: Sequence[Step], rng: random.Random, most: int) -> tuple[int, int]:
    if not steps:
        return 0, 0
    first = rng.randrange(len(steps))
    return first, min(len(steps), first + rng.randrange(1, most + 1))


def _renumbered(steps: Sequence[Step], first: int) -> list[Step]:
    """Copies with numbers of their own; what they name of each other they name of the copies."""
    numbers = {step.number: first + index for index, step in enumerate(steps)}

    def moved(operand: CommandOperand | OperandOrigin) -> CommandOperand | OperandOrigin:
        if isinstance(operand, Got) and operand.step in numbers:
            return replace(operand, step=numbers[operand.step])
        return operand

    return [
        Step(numbers[step.number], step.op, tuple(moved(each) for each in step.operands)) for step in steps
    ]


# Ours: ends of a byte, of 16 and of 32 bits, signed or not, and small numbers.
_NEAR_ENDS = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
_ANY_VALUE = frozenset({Op.SET_GENERATION, Op.META_AUX_STORE, Op.SET_GUARD, Op.FETCH_OR_GUARD})
"""Commands that may store whatever there is."""
_ANY_FRAME = frozenset({Op.INC_REF, Op.DEC_REF, Op.MARK_POISONED, Op.SET_GENERATION, *READS_FIELD})
"""Commands that nobody needs to hold the frame for."""


def _other_operand(step: Step, rng: random.Random) -> Step:
    """The same step with one operand changed, within what a user of the module may ask for."""
    at = rng.randrange(len(step.operands))
    return step._replace(operands=(*step.operands[:at], _other(step, at, rng), *step.operands[at + 1 :]))


def _other(step: Step, at: int, rng: random.Random) -> CommandOperand | OperandOrigin:
    operand, kind = step.operands[at], step.op.kinds[min(at, len(step.op.kinds) - 1)]
    match operand:
        case Got() | Cached() | Listed() if step.op in _ANY_FRAME:
            return rng.choice(
                (operand, Cached(rng.randrange(8)), Listed(rng.randrange(24), rng.randrange(16)))
            )
        case Recipe():
            return Generator(rng).recipe()
        case Migratetype():
            return rng.choice(list(Migratetype))
        case int() if kind is OperandKind.COUNT and step.op is Op.CAS_REFCOUNT:
            return max(1, operand + rng.choice((-1, 1, 2)))
        case int() if step.op in _ANY_VALUE:
            return rng.choice(_NEAR_ENDS)
        case int() if step.op is Op.FILL and at == 1:
            return rng.randrange(256)
    return operand
