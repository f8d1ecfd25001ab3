"""Writes random requests for the owners of a few blocks: right ones, and ones that must be refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

from frame_harness.base.units import Pfn
from frame_harness.memory_core.ownership import (
    ALL,
    BY_CAP,
    BY_FRAME,
    CLAIMS,
    PARTS,
    REQUESTS,
    BlockReferences,
    Handle,
    OwnershipRefused,
    after,
)
from frame_harness.memory_core.owning_steps import MARKS, Mark, Own
from frame_harness.memory_core.state import KINDS
from frame_harness.memory_core.steps import Alloc, CaseOperation, Free

_CAPS = 5
_LARGEST = 4
_APART = 1 << (_LARGEST + 2)
"""Frames from one block to the next, where the writer imagines them."""


class OwningWriter:
    """Writes requests; remembers which references there are if all goes well."""

    def __init__(self, rng: random.Random, *, kinds: bool) -> None:
        self._rng = rng
        self._kinds = KINDS if kinds else KINDS[:1]
        self._blocks: dict[str, Handle] = {}
        self._owners: dict[Handle, BlockReferences] = {}
        # Behind some faults nothing can be judged, so that not every history comes to each.
        self._parts = PARTS if rng.random() < 0.5 else (ALL,)
        releases = rng.choice((0, 4))
        self._requests = [*(how for how in REQUESTS if how != "release"), *["release"] * releases]

    def write(self, budget: int) -> list[CaseOperation]:
        """About `budget` requests; then all references are given back, most of the time."""
        steps = list(self._allocate())
        for _ in range(budget):
            steps.append(self._mark() if self._rng.random() < 0.12 else self._request())
        if self._rng.random() < 0.8:
            steps += self._give_up_all()
        return steps

    def _allocate(self) -> Iterator[CaseOperation]:
        for number in range(1, self._rng.choice((1, 1, 2, 3)) + 1):
            name, order = f"b{number}", self._rng.choice((0, 0, 1, 2, _LARGEST))
            self._blocks[name] = (Pfn(number * _APART), order)
            yield Alloc(name, order, self._rng.choice(self._kinds))

    def _name(self) -> str:
        return self._rng.choice(list(self._blocks))

    def _mark(self) -> CaseOperation:
        return Mark(self._rng.choice(MARKS), self._name())

    def _request(self) -> CaseOperation:
        """One that can be done, most of the time."""
        step = self._any_request()
        if not self._can_be_done(step) and self._rng.random() < 0.6:
            step = self._any_request()
        self._note(step)
        return step

    def _any_request(self) -> Own:
        name = self._name()
        owned = self._blocks[name] in self._owners
        part = self._rng.choice(self._parts) if owned and self._rng.random() < 0.4 else ALL
        of_parts = part != ALL and self._rng.random() < 0.6
        how = self._rng.choice(CLAIMS if of_parts or not owned else self._requests)
        return Own(how, name, self._cap(name) if how in BY_CAP else 1, part)

    def _cap(self, name: str) -> int:
        """One that the block's owner has, or any."""
        entry = self._owners.get(self._blocks[name])
        if entry is not None and entry.caps and self._rng.random() < 0.5:
            return self._rng.choice(sorted(entry.caps))
        return self._rng.randint(1, _CAPS)

    def _can_be_done(self, step: Own) -> bool:
        if step.part != ALL and step.how not in BY_FRAME:
            return False
        return not isinstance(
            after(self._owners, step.how, self._blocks[step.name], step.cap), OwnershipRefused
        )

    def _note(self, step: Own) -> None:
        if not self._can_be_done(step):
            return
        handle = self._blocks[step.name]
        outcome = after(self._owners, step.how, handle, step.cap)
        if isinstance(outcome, BlockReferences):
            self._owners[handle] = outcome
        elif outcome is None:
            del self._owners[handle], self._blocks[step.name]
            if not self._blocks:  # others go on with what is there
                self._blocks[step.name] = handle

    def _give_up_all(self) -> Iterator[CaseOperation]:
        for name, handle in self._blocks.items():
            entry = self._owners.get(handle)
            if entry is None:
                yield Free(name)
                continue
            drops = [Own("remove", name, cap) for cap in sorted(entry.caps)]
            drops += [Own(self._rng.choice(("unpin", "dec")), name) for _ in range(entry.pins)]
            self._rng.shuffle(drops)
            yield from drops
