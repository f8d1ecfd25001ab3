"""Writes random operations for a core, in styles that each reach something else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from frame_harness.memory_core.basics import NO_ORDERS
from frame_harness.memory_core.bounds import STORM_CPUS
from frame_harness.memory_core.slots import PURPOSES
from frame_harness.memory_core.state import KINDS, MAX_ORDER, ZONES
from frame_harness.memory_core.steps import (
    ANY_ZONE,
    FREE_PLACES,
    POISON_PLACES,
    Alloc,
    AsCpu,
    CaseOperation,
    Fill,
    FrameAlloc,
    Free,
    FreeHalf,
    FreeOne,
    Poison,
    PoisonFree,
    WrongFree,
)
from frame_harness.memory_core.wrong_frees import FREED_BEFORE, WRONG_FREES


def on_cpus(rng: random.Random, steps: Sequence[CaseOperation]) -> list[CaseOperation]:
    """The same, half of the time on other CPUs, too, and with frees of many blocks for some of one."""
    changed = [
        FreeHalf(step.name) if isinstance(step, FreeOne) and rng.random() < 0.2 else step for step in steps
    ]
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 3)):
            changed.insert(rng.randrange(len(changed)), AsCpu(rng.randrange(STORM_CPUS)))
    return changed


class Writer:
    """Writes operations; remembers which blocks may be there."""

    def __init__(self, rng: random.Random, *, kinds: bool, poison: bool, slots: bool) -> None:
        self._rng = rng
        self._kinds = KINDS if kinds else KINDS[:1]
        self._poison, self._slots = poison, slots
        self._count = 0
        self._there: list[str] = []

    def write(self, budget: int) -> list[CaseOperation]:
        """About `budget` operations; then all is freed, or one free is wrong, or neither."""
        styles = [self._churn, self._churn, self._exhaust, self._use_up, self._stack, self._sizes]
        if self._slots:
            styles += [self._frames, self._frames]
        if self._slots and self._poison:
            styles.append(self._sicken)
        style = self._rng.choice(styles)
        steps = list(style(budget))
        end = self._rng.random()
        if end < 0.35:
            steps += self._free_all()
            steps.append(self._alloc(self._rng.randint(4, MAX_ORDER)))
        elif end < 0.6:
            steps += self._wrong()
        return steps

    def _alloc(self, order: int, kind: str | None = None, zone: str = ANY_ZONE) -> Alloc:
        self._count += 1
        name = f"b{self._count}"
        self._there.append(name)
        return Alloc(name, order, kind or self._rng.choice(self._kinds), zone)

    def _order(self) -> int:
        if self._rng.random() < 0.01:
            return self._rng.choice(NO_ORDERS)
        return min(int(self._rng.expovariate(0.5)), MAX_ORDER)

    def _zone(self) -> str:
        return self._rng.choice((*[ANY_ZONE] * 6, *ZONES))

    def _churn(self, budget: int) -> Iterator[CaseOperation]:
        for _ in range(budget):
            roll = self._rng.random()
            if not self._there or roll < 0.55:
                yield self._alloc(self._order(), zone=self._zone())
            elif roll < 0.95 or not self._poison:
                yield self._free_one()
            else:
                name = self._rng.choice(self._there)
                yield self._poisoned(name)
                self._there.remove(name)
                yield Free(name)

    def _poisoned(self, name: str) -> Poison:
        return Poison(name, self._rng.choice(POISON_PLACES))

    def _exhaust(self, budget: int) -> Iterator[CaseOperation]:
        """Ask for one sort of block until there is none, give some back, ask again."""
        order, kind, zone = self._order(), self._rng.choice(self._kinds), self._zone()
        other = self._rng.choice(self._kinds)
        for _ in range(budget):
            yield self._alloc(order, kind, zone)
        for _ in range(self._rng.randint(0, budget // 2)):
            if self._there:
                yield self._free_one()
        for _ in range(self._rng.randint(1, budget // 2 + 1)):
            yield self._alloc(max(order + self._rng.choice((-1, 0, 0, 1)), 0), other, self._zone())

    def _use_up(self, budget: int) -> Iterator[CaseOperation]:
        """Take all memory in one or two sorts of blocks, give a few back, ask for others."""
        for order in sorted({self._order(), 0}, reverse=True):
            self._count += 1
            name = f"b{self._count}"
            self._there.append(name)
            yield Fill(name, order, self._rng.choice(self._kinds), self._zone())
        for _ in range(self._rng.randint(1, max(budget // 2, 1))):
            yield FreeOne(self._rng.choice(self._there))
        for _ in range(self._rng.randint(1, 4)):
            yield self._alloc(self._rng.choice((0, 0, 1, self._order())), zone=self._zone())

    def _stack(self, budget: int) -> Iterator[CaseOperation]:
        """Single frames, given back in the order in which they came, or the other way round."""
        kind = self._rng.choice(self._kinds)
        for _ in range(budget):
            yield self._alloc(0, kind)
        backwards = self._rng.random() < 0.5
        while self._there:
            yield Free(self._there.pop(-1 if backwards else 0))

    def _sizes(self, budget: int) -> Iterator[CaseOperation]:
        """Each order once, the largest or the smallest first."""
        orders = list(range(MAX_ORDER + 1))
        if self._rng.random() < 0.5:
            orders.reverse()
        for order in orders[: max(budget, 4)]:
            yield self._alloc(order)
        yield from self._free_all()

    def _frame(self) -> FrameAlloc:
        self._count += 1
        name = f"f{self._count}"
        self._there.append(name)
        return FrameAlloc(name, self._rng.choice(PURPOSES), self._rng.random() < 0.5)

    def _frames(self, budget: int) -> Iterator[CaseOperation]:
        """Frames of the frame module among blocks."""
        for _ in range(budget):
            roll = self._rng.random()
            if not self._there or roll < 0.4:
                yield self._frame()
            elif roll < 0.55:
                yield self._alloc(self._order())
            else:
                yield self._free_one()

    def _sicken(self, budget: int) -> Iterator[CaseOperation]:
        """Poison free frames, then ask for whatever there is."""
        yield from self._churn(budget // 2)
        if self._there and self._rng.random() < 0.5:
            yield self._free_one()
        for _ in range(self._rng.randint(1, 2)):
            yield PoisonFree(self._rng.choice(FREE_PLACES))
        for _ in range(self._rng.randint(1, 3)):
            yield self._alloc(self._order())
        self._count += 1
        name = f"b{self._count}"
        self._there.append(name)
        yield Fill(name, self._rng.choice((0, 0, 3, 5)), self._rng.choice(self._kinds))

    def _free_one(self) -> Free:
        return Free(self._there.pop(self._rng.randrange(len(self._there))))

    def _free_all(self) -> list[CaseOperation]:
        names, self._there = self._there, []
        self._rng.shuffle(names)
        return [Free(name) for name in names]

    def _wrong(self) -> Iterator[CaseOperation]:
        how = self._rng.choice(WRONG_FREES)
        if not self._there:
            yield self._alloc(self._order())
        name = self._rng.choice(self._there)
        if how in FREED_BEFORE:
            if self._poison and self._rng.random() < 0.3:
                yield self._poisoned(name)  # it goes to quarantine, and cannot be freed from there, either
            yield Free(name)
        yield WrongFree(how, name)
