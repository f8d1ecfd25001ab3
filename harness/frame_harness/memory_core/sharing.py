"""Copy-on-write end to end: address spaces that share a frame, write to it, and leave it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.guest.reply import Reply
from frame_harness.machine.ram import GuestRam
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.owning_asks import FUNCTIONS, panic_of
from frame_harness.memory_core.owning_steps import CopyOnWrite
from frame_harness.memory_core.page_tables import pages
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.state import CoreState

CLAUSE: Final = "CORE-39"
LOOKED_AT: Final = (0, 1, 0x7FF, 0xFFF)
"""Bytes of the page that owners write and read. Ours: both ends of it and of its first half."""


_FREE: Final = frozenset({"cow.dec", "own.remove", "space.free"})
"""Requests in which the core may be given a frame back; in others it is asked for one."""


class _EndedError(Exception):
    """Nothing can be asked further, with what is wrong; None where the core has no memory."""

    def __init__(self, violation: CoreViolation | None) -> None:
        super().__init__(violation)
        self.violation = violation


def share(step: CopyOnWrite, playing: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    """Share a frame, write, leave; then judge what is left."""
    try:
        _Sharing(playing, step).use()
    except _EndedError as ended:
        playing.over = True
        if ended.violation is not None:
            yield ended.violation
        return
    if playing.watch is not None:
        playing.watch.forget_lives()
    yield from playing.judged()
    yield from playing.all_freed()


@dataclass
class _Owner:
    """One address space, with what it must find in the page."""

    number: int
    frame: Paddr
    """Where its page lies."""
    content: dict[int, int]
    shares: bool = False
    """Whether it is mapped for reading alone, to be copied."""
    by_pin: bool = False
    """Its reference is a pin; else the capability of its number."""

    @property
    def cap(self) -> int:
        return self.number + 1


@dataclass
class _Sharing:
    """The steps are a kernel's: what its fork does, its handler of page faults, and its exit."""

    playing: Playing
    step: CopyOnWrite
    owners: list[_Owner] = field(default_factory=list)
    references: dict[int, int] = field(default_factory=dict)
    """By frame how many there are."""

    def use(self) -> None:
        """Everything; ends with each owner gone and each frame free.

        Raises:
            _EndedError: something is wrong.
        """
        rng = random.Random(self.step.seed)
        self.page = rng.choice(pages(rng))
        self._first_owner(rng)
        for _ in range(1, self.step.owners):
            self._fork(self.owners[0])
        self._look()
        while self.owners:
            owner = rng.choice(self.owners)
            if rng.random() < 0.7:
                self._write(owner, rng.choice(LOOKED_AT), rng.randrange(256))
            else:
                self._leave(owner)
            self._look()

    # ---- what a kernel does ------------------------------------------------------------------------------

    def _first_owner(self, rng: random.Random) -> None:
        frame = Paddr(self._do("core.alloc 0 unmovable any")["paddr"])
        self.playing.core.looked_at.add("CORE-12")
        if not self._ram.holds(frame, PAGE_SIZE):
            raise _EndedError(CoreViolation("CORE-12", "a frame that was given", "memory", "no RAM", frame))
        owner = _Owner(0, frame, {})
        self._own(owner)
        self._do("space.new 0")
        self._do(f"space.map 0 {self.page:#x} {frame:#x} own")
        self.owners.append(owner)
        for offset in LOOKED_AT:
            self._write(owner, offset, rng.randrange(256))

    def _own(self, owner: _Owner) -> None:
        self._do(f"own.ensure {owner.frame:#x} 0 {owner.cap}")
        self.references[owner.frame] = self.references.get(owner.frame, 0) + 1

    def _fork(self, parent: _Owner) -> None:
        """Pin the frame, map it for reading alone in both; the child's own reference replaces the pin."""
        child = _Owner(len(self.owners), parent.frame, dict(parent.content), True, self.step.by == "pins")
        self._do(f"space.change {parent.number} {self.page:#x} shared")
        parent.shares = True
        self._do(f"cow.inc {parent.frame:#x}")
        self._do(f"cow.set {parent.frame:#x}")
        self._do(f"space.new {child.number}")
        self._do(f"space.map {child.number} {self.page:#x} {parent.frame:#x} shared")
        if child.by_pin:
            self.references[parent.frame] += 1
        else:
            self._own(child)
            self._do(f"cow.dec {parent.frame:#x}")
        self.owners.append(child)

    def _write(self, owner: _Owner, offset: int, value: int) -> None:
        line = f"space.write {owner.number} {self.page:#x} {offset} {value}"
        faulted = self._do(line)["fault"]
        if faulted != int(owner.shares):
            expected = "a page fault: it is mapped for reading alone" if owner.shares else "no page fault"
            self._wrong(
                f"`{line}`", expected, "no fault" if owner.shares else "a fault", owner.frame, "fault"
            )
        if faulted:
            self._handle_fault(owner)
            if self._do(line)["fault"]:
                self._wrong(f"`{line}`, again", "no page fault", "a fault", owner.frame, "fault")
        owner.content[offset] = value

    def _handle_fault(self, owner: _Owner) -> None:
        """Copy the frame where others share it; else it is the owner's already."""
        frame, owner.shares = owner.frame, False
        line = f"cow.count {frame:#x}"
        count = self._do(line)["count"]
        if count != self.references[frame]:
            self._wrong(f"`{line}`", f"{self.references[frame]} owners", str(count), frame, "count")
        if count == 1:
            self._do(f"space.change {owner.number} {self.page:#x} own")
            self._do(f"cow.clear {frame:#x}")
            return
        owner.frame = Paddr(self._do(f"space.copy {owner.number} {self.page:#x}")["paddr"])
        if owner.frame in self.references:
            self._wrong(
                "the frame for a copy", "one that nobody owns", f"{owner.frame:#x}", owner.frame, "copy"
            )
        self._do(f"cow.init {owner.frame:#x}")
        by_pin, owner.by_pin = owner.by_pin, False
        self._own(owner)
        self._drop(owner, frame, by_pin)

    def _leave(self, owner: _Owner) -> None:
        self._do(f"space.unmap {owner.number} {self.page:#x}")
        self._drop(owner, owner.frame, owner.by_pin)
        self._do(f"space.free {owner.number}")
        self.owners.remove(owner)

    def _drop(self, owner: _Owner, frame: Paddr, by_pin: bool) -> None:
        """Give one reference back; the last one frees the frame, and no other one does."""
        line = f"cow.dec {frame:#x}" if by_pin else f"own.remove {frame:#x} 0 {owner.cap}"
        reply = self._do(line)
        self.references[frame] -= 1
        left = self.references[frame]
        if not left:
            del self.references[frame]
        free = not left, "left" in reply.outcome.fields and not reply["left"], self._is_free(frame)
        if free[2] != free[0] or (not by_pin and free[1] != free[0]):
            expected = f"{left} owners are left" if left else "the frame is free: its last owner left"
            got = "it is free" if free[2] else "it is not free"
            self._wrong(f"`{line}`", expected, f"{reply.shown}; {got}", frame, "freed")

    # ---- what is seen ------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Each owner finds its own bytes, through its tables and in RAM."""
        looked = [(owner, offset) for owner in self.owners for offset in owner.content]
        lines = [f"space.read {owner.number} {self.page:#x} {offset}" for owner, offset in looked]
        answers = zip(looked, lines, self.playing.core.request_all(lines), strict=False)
        for (owner, offset), line, reply in answers:
            self.playing.core.looked_at.add(CLAUSE)
            at = Paddr(owner.frame + offset)
            there = int(self._ram.view(at, 1)[0])
            wanted = owner.content[offset]
            if reply.status != "ok" or reply["fault"] or (reply["v"], there) != (wanted, wanted):
                self.playing.commands.append(f"{line} → {reply.shown}")
                what = f"what owner {owner.number} reads at byte {offset:#x} of its page"
                got = f"{reply.shown}; in RAM {there:#x}"
                self._wrong(what, f"{wanted:#x}, as it wrote last", got, at, "content")

    def _is_free(self, frame: Paddr) -> bool:
        free = self.playing.core.state(self.playing.first).population()
        return any(first <= frame < end for first, end in free)

    @property
    def _ram(self) -> GuestRam:
        return self.playing.core.guest.ram

    def _do(self, line: str) -> Reply:
        """Send a request that must succeed."""
        command = line.split(maxsplit=1)[0]
        self.playing.function = FUNCTIONS.get(command, self.playing.function)
        reply = self.playing.ask(line)
        of_allocator = "CORE-15" if command in _FREE else "CORE-09"
        if reply.status == "ok":
            self.playing.core.looked_at.add(of_allocator)
            return reply
        if reply.status == "panic":
            raise _EndedError(panic_of(self.playing, CLAUSE, line, reply, of_allocator=of_allocator))
        if reply.outcome.code == "OutOfMemory":
            raise _EndedError(None)
        raise _EndedError(CoreViolation(CLAUSE, f"`{line}`", "done", reply.shown, None, f"refused {command}"))

    def _wrong(self, what: str, expected: str, got: str, paddr: Paddr, cause: str) -> None:
        raise _EndedError(CoreViolation(CLAUSE, what, expected, got, paddr, cause))
