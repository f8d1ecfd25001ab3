"""Page tables in frames of a core: what the CPU finds through them, beside what was mapped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from frame_harness.base.units import Paddr, Vaddr
from frame_harness.guest.reply import Reply
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import Span

CLAUSE: Final = "CORE-22"
LEVELS: Final = ("PML4", "PDPT", "PD", "PT")
# Where an index lies in an address, and the bits of an entry: Intel SDM vol. 3A, 4.5 "4-Level Paging". The
# address is bits 12 to 51; bits 5 and 6 are explained in "Accessed and Dirty Flags".
_SHIFTS: Final = (39, 30, 21, 12)
_INDEX, _LOWER = 511, 255
_PRESENT, _HUGE, _ADDRESS = 1, 1 << 7, 0x000F_FFFF_FFFF_F000
_NOTED = 0b11 << 5
"""Bits in which the CPU notes that it used an entry."""
_DIRT_FLAGS = 0b111
"""Present, writable, for users: what makes the bytes of a used frame dangerous in a table."""
VARIANTS: Final = ("plain", "late")
"""How a frame for a table is asked for: by its purpose, and with `zeroed(false)` after that."""

AskGuest = Callable[[str], Reply]


def page_at(indices: tuple[int, int, int, int]) -> Vaddr:
    """The address of the page that the entries of these numbers lead to."""
    return Vaddr(sum(index << shift for index, shift in zip(indices, _SHIFTS, strict=True)))


def neighbors(vaddr: Vaddr) -> list[Vaddr]:
    """A page beside another one in each of the four tables on its way."""
    return [Vaddr(vaddr ^ (1 << shift)) for shift in _SHIFTS]


def pages(rng: random.Random) -> list[Vaddr]:
    """Five pages: of one page table, of another one, and so on up to another entry of the top table."""
    way = [rng.randint(0, _LOWER), *(rng.randint(0, _INDEX) for _ in LEVELS[1:])]
    found = [page_at((way[0], way[1], way[2], way[3]))]
    for level in range(len(LEVELS)):
        other = list(way)
        other[level] = (way[level] + rng.randint(2, 100)) & (_LOWER if level == 0 else _INDEX)
        found.append(page_at((other[0], other[1], other[2], other[3])))
    return list(dict.fromkeys(found))


@dataclass
class Tables:
    """One use of page tables: map, look, unmap, look, give back, and once more in the frames that were used.

    Attributes:
        ask: sends a request to the guest.
        free: where frames are free; they are filled with what leads somewhere.
        targets: the frames to map.
    """

    ask: AskGuest
    ram: GuestRam
    free: list[Span]
    targets: list[Paddr]
    variant: str
    seed: int
    root: Paddr = Paddr(0)
    mapped: dict[Vaddr, int] = field(default_factory=dict)
    """By page the byte that has to be found there."""
    looked: bool = False
    """Whether some page was looked up."""

    def use(self) -> Iterator[CoreViolation]:
        """Everything, twice; ends at the first thing that is wrong, or when the core has no memory."""
        rng, before = random.Random(self.seed), list[Vaddr]()
        self._spoil()
        for _ in range(2):
            chosen = pages(rng)
            violation = self._once(chosen, before)
            if violation is not None:
                yield violation
                return
            before += chosen

    def _once(self, chosen: list[Vaddr], before: list[Vaddr]) -> CoreViolation | None:
        reply = self.ask(f"tables.new {self.variant}")
        if reply.status != "ok":
            return self._refusal("a top table", reply)
        self.root, self.mapped = Paddr(reply["root"]), {}
        near = [beside for page in chosen for beside in neighbors(page)]
        nowhere = [*before, *chosen, *near]
        if found := self._look(nowhere, "before anything is mapped"):
            return found
        for vaddr, paddr in zip(chosen, self.targets, strict=False):
            reply = self.ask(f"tables.map {vaddr:#x} {paddr:#x}")
            if reply.status != "ok":
                return self._refusal(f"mapping {vaddr:#x}", reply) or self._give_back()
            self.mapped[vaddr] = int(self.ram.view(paddr, 1)[0])
        if found := self._look([*nowhere, *self.mapped], "after pages were mapped"):
            return found
        for vaddr in list(self.mapped)[::2]:
            reply = self.ask(f"tables.unmap {vaddr:#x}")
            if reply.status != "ok":
                return self._refusal(f"unmapping {vaddr:#x}", reply)
            del self.mapped[vaddr]
        if found := self._look([*nowhere, *self.mapped], "after pages were unmapped"):
            return found
        return self._give_back()

    def _give_back(self) -> CoreViolation | None:
        reply = self.ask("tables.free")
        return None if reply.status == "ok" else self._refusal("giving tables back", reply)

    def _spoil(self) -> None:
        """Fill free frames with entries that lead to the first of them, as a frame that was a table is."""
        for first, end in self.free:
            if self.ram.holds(first, end - first):
                self.ram.view(first, end - first).view("<u8")[:] = self._trap | _DIRT_FLAGS
        for number, paddr in enumerate(self.targets, start=1):
            self.ram.view(paddr, 1)[0] = number

    def _refusal(self, what: str, reply: Reply) -> CoreViolation | None:
        """What is wrong with an answer that is no `ok`; nothing where there is no memory."""
        if reply.status == "panic":
            place = f"{reply.outcome.file}:{reply.outcome.line}"
            words = " ".join(reply.outcome.text.split())
            return CoreViolation(CLAUSE, what, "a return", f"a panic: {words}", None, place)
        if reply.outcome.code == "OutOfMemory":
            return None
        expected = "tables that hold nothing but what was mapped"
        return CoreViolation(CLAUSE, what, expected, "an entry that is there already", self.root, "entries")

    def _look(self, looked_at: list[Vaddr], when: str) -> CoreViolation | None:
        for vaddr in dict.fromkeys(looked_at):
            reply = self.ask(f"tables.probe {vaddr:#x}")
            if reply.status != "ok":
                return self._refusal(f"a look at {vaddr:#x}", reply)
            self.looked = True
            wanted = self.mapped.get(vaddr)
            found = None if reply["fault"] else reply["v"]
            if found != wanted:
                return self._wrong(vaddr, wanted, found, when)
        return None

    def _wrong(self, vaddr: Vaddr, wanted: int | None, found: int | None, when: str) -> CoreViolation:
        what = f"the page at {vaddr:#x}, {when}"
        expected = (
            "a page fault: nothing is mapped there" if wanted is None else f"byte {wanted:#x} of its frame"
        )
        way = walk(self.ram, self.root, vaddr)
        got = "a page fault" if found is None else f"byte {found:#x}"
        cause = "leads somewhere" if wanted is None else "leads elsewhere"
        followed = "; ".join(f"{level} {at:#x} holds {entry:#x}" for level, at, entry in way)
        stale = [at for _, at, entry in way if entry & ~_NOTED == self._trap | _DIRT_FLAGS]
        source = f"; the entry at {stale[0]:#x} is what the frame held before" if stale else ""
        return CoreViolation(
            CLAUSE, what, expected, f"{got} by {followed}{source}", stale[0] if stale else self.root, cause
        )

    @property
    def _trap(self) -> int:
        return self.free[0][0] if self.free else 0


def walk(ram: GuestRam, root: Paddr, vaddr: Vaddr) -> list[tuple[str, Paddr, int]]:
    """The entries that the CPU follows (Intel SDM vol. 3A, 4.5): level, physical address, value of each."""
    found: list[tuple[str, Paddr, int]] = []
    table = root
    for level, shift in zip(LEVELS, _SHIFTS, strict=True):
        at = Paddr(table + (vaddr >> shift & _INDEX) * 8)
        if not ram.holds(at, 8):
            break
        entry = int(ram.view(at, 8).view("<u8")[0])
        found.append((level, at, entry))
        if not entry & _PRESENT or (entry & _HUGE and level in ("PDPT", "PD")):
            break
        table = Paddr(entry & _ADDRESS)
    return found
