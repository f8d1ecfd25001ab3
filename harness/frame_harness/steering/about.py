"""Steps about one block that somebody holds: what its owner may do to it, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from frame_harness.frame_histories.commands import (
    ALLOCATES,
    GIVES_BACK,
    READS_FIELD,
    VTABLES,
    CommandOperand,
    Op,
    VtableAt,
)
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.steps import Got, OperandOrigin, Step
from frame_harness.frame_metadata.constants import C

DrawOperands = Callable[[random.Random], tuple[CommandOperand, ...]]
# Ours: both ends of a byte, of a signed and of an unsigned word, and a few small numbers.
_ENDS = (0, 1, 3, 0xFF, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF)
_LATE, _OF_LATE = 2, 0.6
"""Chance that the block is one that the last steps name."""
_NEW_LIFE = 0.12
"""Chance that a block of one frame is given back and the next one, most likely the same, is allocated."""


def _flags(rng: random.Random) -> tuple[CommandOperand, ...]:
    # Ours: bits that a frame in use may have, with and without the reserved ones, or any.
    bits = rng.choice((0x500, 0x2907, rng.getrandbits(32)))
    return ((bits | C.flag_allocated) & ~(C.flag_free | C.flag_poisoned),)


ANYBODYS: tuple[tuple[Op, DrawOperands, int], ...] = (
    (Op.SET_GUARD, lambda rng: (rng.choice((0, 1, 1, rng.getrandbits(31))),), 3),
    (Op.FETCH_OR_GUARD, lambda rng: (rng.choice((1, 2, rng.getrandbits(31))),), 2),
    (Op.SET_VTABLE_BITS, lambda rng: (VtableAt(rng.choice(tuple(VTABLES))),), 3),
    (Op.META_AUX_STORE, lambda rng: (rng.choice((*_ENDS, *(rng.getrandbits(32) for _ in range(6)))),), 4),
    (Op.SET_GENERATION, lambda rng: (rng.choice(_ENDS),), 2),
    (Op.FILL, lambda rng: (rng.randrange(256),), 1),
    (Op.MARK_POISONED, lambda _: (), 1),
    (Op.UNMAP, lambda _: (), 2),
    (Op.LAST_REF, lambda _: (), 1),
    (Op.TRY_VTABLE_REF, lambda _: (), 1),
    *((op, lambda _: (), 1) for op in list(READS_FIELD)[:2]),
)
"""What may be done to any block that is held: the command, what stands behind the frame, its weight."""
# The counts of `set_refcount` are ours: small ones, the largest signed one, and one near the sentinel.
OF_CLAIMED: tuple[tuple[Op, DrawOperands, int], ...] = (
    (Op.INC_REF, lambda _: (), 5),
    (Op.DEC_REF, lambda _: (), 3),
    (Op.CAS_REFCOUNT, lambda rng: (rng.randrange(5), rng.randrange(1, 9)), 4),
    (Op.SET_REFCOUNT, lambda rng: (rng.choice((0, 1, 2, 3, 4, 5, 7, 0x7FFF_FFFF, 0xFFFF_FFFD)),), 2),
    (Op.SET_FLAGS, _flags, 3),
    (Op.NOTE_NEW_ALLOCATION_EPOCH, lambda _: (), 1),
    (Op.RESET_WITH_FREE_LIST_META, lambda _: (), 1),
)
"""And to a frame that the module handed out."""


def place_about(steps: Sequence[Step], rng: random.Random) -> tuple[int, Got, bool] | None:
    """A place ahead of a step that names a block that is held by then, the block, whether it is claimed."""
    claimed = {step.number for step in steps if step.op in ALLOCATES}
    places: dict[Got, list[int]] = {}
    gone: set[tuple[int, int]] = set()
    for at, step in enumerate(steps):
        for operand in step.operands:
            if isinstance(operand, Got) and (operand.step, operand.index) not in gone:
                places.setdefault(operand, []).append(at)
                if step.op in GIVES_BACK:
                    gone.add((operand.step, operand.index))
        if step.op in ALLOCATES:
            places.setdefault(Got(step.number), []).append(at + 1)
    if not places:
        return None
    # A kept history ends with the step that reaches what it is kept for.
    late = [got for got, at in places.items() if max(at) >= len(steps) - _LATE]
    if late and rng.random() < _OF_LATE:
        got = rng.choice(late)
        return max(places[got]), got, got.step in claimed
    uses = {got: len(at) ** 2 for got, at in places.items()}
    got = rng.choices(list(uses), list(uses.values()))[0]
    return rng.choice(places[got]), got, got.step in claimed


def steps_about(got: Got, count: int, first: int, rng: random.Random, *, claimed: bool) -> list[Step]:
    """So many things that are done to a block, numbered from the first on."""
    table = (*ANYBODYS, *OF_CLAIMED) if claimed else ANYBODYS
    weights = [weight for _, _, weight in table]
    found: list[Step] = []

    def add(op: Op, *operands: CommandOperand | OperandOrigin) -> None:
        found.append(Step(first + len(found), op, operands))

    for _ in range(count):
        if claimed and rng.random() < _NEW_LIFE:
            add(Op.RELEASE, got, 0)
            add(Op.ALLOC, Generator(rng).recipe())
            got = Got(found[-1].number)
            continue
        op, operands, _ = rng.choices(table, weights)[0]
        add(op, got, *operands(rng))
    return found
