"""Steps of a history whose frames are named by where they came from, so that a history can be shortened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from frame_harness.base.units import PAGE_SIZE, Paddr, pfn_to_paddr
from frame_harness.frame_histories.commands import GIVES_BACK, Command, CommandOperand, Op, Recipe
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model import Model, custom

Results = Mapping[int, tuple[Paddr, ...]]
"""By a step's number the addresses that it handed out."""


@dataclass(frozen=True)
class Got:
    """What an earlier step handed out; `shift` counts frames from its start."""

    step: int
    index: int = 0
    shift: int = 0

    def resolve(self, results: Results, _model: Model) -> Paddr | None:
        """The address of the frame, `index` modulo what was handed out; None where that was nothing."""
        frames = results.get(self.step, ())
        return Paddr(frames[self.index % len(frames)] + self.shift * PAGE_SIZE) if frames else None

    def simpler(self) -> list[OperandOrigin]:
        """The first frame that was handed out, then the same frame without its shift."""
        zeroed = [replace(self, index=0)] if self.index else []
        return [*zeroed, *([replace(self, shift=0)] if self.shift else [])]


@dataclass(frozen=True)
class Cached:
    """A frame in a CPU cache; 0 is the one that leaves first."""

    index: int = 0

    def resolve(self, _results: Results, model: Model) -> Paddr | None:
        """The address of the frame, `index` modulo how many are cached; None where none is."""
        frames = [pfn for pfn, _, _ in reversed(model.buddy.cached_frames())]
        return pfn_to_paddr(frames[self.index % len(frames)]) if frames else None

    def simpler(self) -> list[OperandOrigin]:
        """The frame that leaves its cache first, unless it is that one."""
        return [Cached(0)] if self.index else []


@dataclass(frozen=True)
class Listed:
    """A frame of the first block of a free list, lists counted by zone, migratetype, order."""

    index: int = 0
    shift: int = 0

    def resolve(self, _results: Results, model: Model) -> Paddr | None:
        """The address of the frame, index and shift modulo what there is; None where all lists are empty."""
        heads = [
            (head, order)
            for zone in model.buddy.zones
            for (_, order), head in sorted(zone.heads.items())
            if head != C.link_none
        ]
        if not heads:
            return None
        head, order = heads[self.index % len(heads)]
        return Paddr(head + self.shift % (1 << order) * PAGE_SIZE)

    def simpler(self) -> list[OperandOrigin]:
        """A cached frame, then the first frame of the block."""
        return [Cached(0), *([Listed(self.index)] if self.shift else [])]


OperandOrigin = Got | Cached | Listed


class Step(NamedTuple):
    """One command whose frames may be named by where they come from."""

    number: int
    op: Op
    operands: tuple[CommandOperand | OperandOrigin, ...] = ()

    def command(self, results: Results, model: Model) -> Command | None:
        """The command with the frames of this moment; None when an operand means nothing here."""
        found = [
            each.resolve(results, model) if isinstance(each, OperandOrigin) else each
            for each in self.operands
        ]
        known = tuple(each for each in found if each is not None)
        return Command(self.op, known) if len(known) == len(found) else None

    def simpler(self) -> list[Step]:
        """Steps that do less, the least first."""
        return [*self._shorter_recipes(), *self._plainer_operands()]

    def instead(self) -> list[Step]:
        """Steps that do something else, which may make another step unnecessary."""
        if self.op is Op.ALLOC:
            return [self._replace(operands=(Recipe(calls=(call,)),)) for call in (False, custom(1))]
        if self.op in GIVES_BACK and self.operands[1] == 0:
            # Offering a frame that is held takes fewer steps than freeing it twice, and shows the same.
            return [Step(self.number, Op.OFFER, self.operands[:1])]
        return []

    def _shorter_recipes(self) -> list[Step]:
        single = [self._replace(op=Op.ALLOC)] if self.op is Op.ALLOC_ALL else []
        recipes = [each for each in self.operands if isinstance(each, Recipe)]
        return single + [self._replace(operands=(less,)) for each in recipes for less in each.shorter()]

    def _plainer_operands(self) -> list[Step]:
        plainer = []
        for at, operand in enumerate(self.operands):
            for instead in operand.simpler() if isinstance(operand, OperandOrigin) else ():
                operands = (*self.operands[:at], instead, *self.operands[at + 1 :])
                plainer.append(self._replace(operands=operands))
        return plainer
