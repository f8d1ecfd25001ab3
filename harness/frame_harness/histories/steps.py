"""Steps of a history whose frames are named by where they came from, so that a history can be shortened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model import Model

Results = Mapping[int, tuple[int, ...]]
"""By a step's number the addresses that it handed out."""


@dataclass(frozen=True)
class Got:
    """What an earlier step handed out; `shift` counts frames from its start."""

    step: int
    index: int = 0
    shift: int = 0

    def resolve(self, results: Results, _model: Model) -> int | None:
        frames = results.get(self.step, ())
        return frames[self.index % len(frames)] + self.shift * PAGE_SIZE if frames else None

    def simpler(self) -> list[Operand]:
        zeroed = [replace(self, index=0)] if self.index else []
        return [*zeroed, *([replace(self, shift=0)] if self.shift else [])]


@dataclass(frozen=True)
class Cached:
    """A frame in a CPU cache; 0 is the one that leaves first."""

    index: int = 0

    def resolve(self, _results: Results, model: Model) -> int | None:
        frames = [pfn for pfn, _, _ in reversed(model.buddy.cached_frames())]
        return frames[self.index % len(frames)] << PAGE_SHIFT if frames else None

    def simpler(self) -> list[Operand]:
        return [Cached(0)] if self.index else []


@dataclass(frozen=True)
class Listed:
    """A frame of the first block of a free list, lists counted by zone, migratetype, order."""

    index: int = 0
    shift: int = 0

    def resolve(self, _results: Results, model: Model) -> int | None:
        heads = [
            (head, order)
            for zone in model.buddy.zones
            for (_, order), head in sorted(zone.heads.items())
            if head != C.link_none
        ]
        if not heads:
            return None
        head, order = heads[self.index % len(heads)]
        return head + self.shift % (1 << order) * PAGE_SIZE

    def simpler(self) -> list[Operand]:
        return [Cached(0), *([Listed(self.index)] if self.shift else [])]


Operand = Got | Cached | Listed


@dataclass(frozen=True)
class Step:
    """One command; `{0}`, `{1}` in its text stand for the addresses of its operands."""

    number: int
    text: str
    operands: tuple[Operand, ...] = ()

    def line(self, results: Results, model: Model) -> str | None:
        """The command as it is sent; None when an operand means nothing here."""
        addresses = [operand.resolve(results, model) for operand in self.operands]
        known = [f"{address:#x}" for address in addresses if address is not None]
        return self.text.format(*known) if len(known) == len(addresses) else None

    def simpler(self) -> list[Step]:
        """Steps that do less, the least first."""
        return [*self._fewer_words(), *self._plainer_operands()]

    def instead(self) -> list[Step]:
        """Steps that do something else, which may make another step unnecessary."""
        if self.text.split()[0] == "alloc":
            return [replace(self, text=text) for text in ("alloc zeroed=0", "alloc purpose=custom:0x1")]
        return self._offered_instead()

    def _offered_instead(self) -> list[Step]:
        """Offering a frame that is held takes fewer steps than freeing it twice, and shows the same."""
        freed = self.text in ("release {0} 0", "buddy.free {0} 0", "trait.free {0} 0")
        return [replace(self, text="inject buddy.next {0}")] if freed else []

    def _fewer_words(self) -> list[Step]:
        name, *words = self.text.split()
        if name not in ("alloc", "alloc.all"):
            return []
        without = [words[:at] + words[at + 1 :] for at in range(len(words))]
        shorter = [replace(self, text=" ".join([name, *rest])) for rest in without]
        return [replace(self, text="alloc " + " ".join(words)), *shorter] if name == "alloc.all" else shorter

    def _plainer_operands(self) -> list[Step]:
        plainer = []
        for at, operand in enumerate(self.operands):
            for instead in operand.simpler():
                operands = (*self.operands[:at], instead, *self.operands[at + 1 :])
                plainer.append(replace(self, operands=operands))
        return plainer
