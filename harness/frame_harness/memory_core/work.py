"""What boot and the operations of a core cost in instructions, on a map and on an eighth of it.

Judged is how the work grows, never how much it is, so that neither the host nor the profile matters. A core
of this design may do this much:

- Boot looks at each frame a fixed number of times, and holds each region against each other one: linear in
  frames, quadratic in regions.
- An operation at order k touches the 2^k slots of its block, and walks over zones, orders, kinds and the
  places of a CPU's cache, of each of which there is a fixed number: all of this is the same on both maps. It
  may walk over the segments of a zone: linear in these. How many blocks are free, and how much memory there
  is, must not enter.

So work may grow as that does which may enter, times `ALLOWANCE`. Twice is more than the difference between a
branch that is taken and one that is not, and far less than the eightfold of a walk over free blocks or
frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import PAGE_SIZE
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.functions import ALLOC, FREE, START
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import Islands, MapRegion, MemoryMap, length
from frame_harness.memory_core.playing import may_refuse

BOOT, EACH = "CORE-23", "CORE-24"
PART: Final = 8
"""The small map has this part of the memory, or of the regions, of the other one."""
ALLOWANCE: Final = 2
SLACK: Final = 200
"""So many instructions are no walk over anything that is large."""
MOST_CALLS: Final = 600
"""More than twice as many frames as a CPU's cache of such a core holds: it runs full and empty."""
GIVEN_AGAIN: Final = "MoreThanAllFrames"
"""The shim's answer where allocations come to no end: kernel_shim/src/core_commands/work.rs."""
_ROUNDS = (1000, 3000)


@dataclass(frozen=True)
class Growth:
    """A violation with the function to blame."""

    function: str
    violation: CoreViolation


@dataclass(frozen=True)
class Cost:
    """What some calls of one sort cost in instructions."""

    calls: int
    total: int
    most: int


Costs = dict[str, Cost]
"""By words for the calls."""

_FUNCTIONS: Final = {"allocations": ALLOC, "frees": FREE, "a refusal": ALLOC, "merges": FREE}


def require_counting(core: CoreGuest) -> None:
    """Hold the guest's counter against loops of a known length.

    Raises:
        HarnessError: it does not count instructions.
    """
    few, many = (core.guest.call("work.loop", rounds)["total"] for rounds in _ROUNDS)
    expected = 2 * (_ROUNDS[1] - _ROUNDS[0])
    if many - few != expected:
        raise HarnessError(
            "instruction counter", "work.loop", expected=f"{expected} instructions", actual=many - few,
            next_step="use a QEMU whose -icount counts each instruction",
        )  # fmt: skip


def part_of(memory: MemoryMap) -> MemoryMap:
    """The same with an eighth of the frames in each usable region, and of the islands."""
    return replace(memory, parts=tuple(_part(one) for one in memory.parts))


def _part(one: MapRegion | Islands) -> MapRegion | Islands:
    if isinstance(one, Islands):
        return replace(one, count=max(one.count // PART, 1))
    if not one.kind.usable or one.size < PAGE_SIZE:
        return one
    return replace(one, size=max(one.size // PART // PAGE_SIZE, 1) * PAGE_SIZE)


def growth_of_boot(small: MemoryMap, large: MemoryMap) -> float:
    """How much more work a start on the larger map may be."""
    frames = max(large.top / small.top, length(large.usable) / length(small.usable))
    regions = len(large.regions) / len(small.regions)
    return max(frames, regions**2, 1.0)


def too_much(small: int, large: int, growth: float, calls: int = 1) -> int | None:
    """The bound that work breaks; None where it keeps it."""
    bound = int(ALLOWANCE * growth * small) + SLACK * calls
    return bound if large > bound else None


class Meter:
    """Starts a core on a map and on a part of it, and compares what the same requests cost.

    Attributes:
        commands: what was asked is added to them.
        panic: the first panic, with the clause that forbids it and the function that was called.
        endless: that allocations come to no end.
    """

    def __init__(self, core: CoreGuest, memory: MemoryMap, commands: list[str]) -> None:
        self._core, self._commands = core, commands
        self._maps = (part_of(memory), memory)
        self.panic: tuple[str, str, Reply] | None = None
        self.endless: Growth | None = None

    def boot(self) -> Growth | None:
        """The start that costs too much."""
        costs = [cost for memory in self._maps if (cost := self._start(memory)) is not None]
        if len(costs) < len(self._maps):
            return None
        small, large = (cost.total for cost in costs)
        if not all(length(memory.usable) for memory in self._maps):
            return None
        self._core.looked_at.add(BOOT)
        growth = growth_of_boot(*self._maps)
        bound = too_much(small, large, growth)
        if bound is None:
            return None
        regions = [len(memory.regions) for memory in self._maps]
        frames = [length(memory.usable) // PAGE_SIZE for memory in self._maps]
        what = f"a start on {frames[1]} frames in {regions[1]} regions"
        expected = (
            f"at most {bound} instructions: it is {small} on {frames[0]} frames in {regions[0]} regions, "
            f"and may grow {growth:.3g} times, at most doubled"
        )
        cause = "regions" if regions[1] > regions[0] else "frames"
        return Growth(START, CoreViolation(BOOT, what, expected, f"{large} instructions", None, cause))

    def operations(self, order: int, kind: str) -> Growth | None:
        """What costs too much among scattered free blocks of an order, or comes to no end."""
        found: list[tuple[Costs, int, int]] = []
        calls = MOST_CALLS
        for memory in self._maps:
            if self._start(memory) is None:
                return None
            segments = len(self._core.state().segments)
            free = self._scatter(order, kind)
            if self.endless is not None:
                return self.endless
            calls = min(calls, free // 2)
            # Else caches would run full on the larger map alone.
            if calls < (MOST_CALLS if order == 0 else 1):
                return None
            costs = dict(self._measured(order, kind, calls))
            found.append((costs, segments, free))
        return self._compared(found[0], found[1])

    def _compared(self, one: tuple[Costs, int, int], other: tuple[Costs, int, int]) -> Growth | None:
        (few, segments, small_free), (many, more_segments, free) = one, other
        growth = max(more_segments / max(segments, 1), 1.0)
        for what, small in few.items():
            large = many.get(what)
            # Where one map had memory and the other one had not, different things were done.
            if large is None or not small.calls or small.calls != large.calls:
                continue
            self._core.looked_at.add(EACH)
            for measure, before, after, calls in (
                (f"{small.calls} calls together", small.total, large.total, small.calls),
                ("the dearest call", small.most, large.most, 1),
            ):
                bound = too_much(before, after, growth, calls)
                if bound is None:
                    continue
                expected = (
                    f"at most {bound} instructions: it is {before} with {small_free} such blocks free on "
                    f"{segments} segments"
                )
                got = f"{after} instructions, with {free} blocks free on {more_segments} segments"
                sort = next(name for name in _FUNCTIONS if what.startswith(name))
                violation = CoreViolation(EACH, f"{what}: {measure}", expected, got, None, sort)
                return Growth(_FUNCTIONS[sort], violation)
        return None

    def _measured(self, order: int, kind: str, calls: int) -> Iterator[tuple[str, Cost]]:
        """One sequence of requests: caches run full, are emptied by a refusal, and fill again."""
        of, larger = f"of order {order}, {kind}", f"of order {order + 1}, {kind}"
        alloc = f"work.alloc {order} {kind} any {calls}"
        for what, line in (
            (f"allocations {of}", alloc),
            (f"frees {of}", "work.free"),
            (f"a refusal {larger}", f"work.alloc {order + 1} {kind} any 1"),
            (f"allocations {of} with empty caches", alloc),
            (f"frees {of} with empty caches", "work.free"),
            (f"merges {of}", f"work.merge {calls}"),
            (f"allocations {larger} after merges", f"work.alloc {order + 1} {kind} any {-(-calls // 2)}"),
            (f"frees {larger} after merges", "work.free"),
        ):
            reply = self._ask(line)
            if reply is None:
                return
            if what.startswith("a refusal"):
                refused = int(reply["refusal"] > 0)
                yield what, Cost(refused, reply["refusal"], reply["refusal"])
            else:
                yield what, Cost(reply["calls"], reply["total"], reply["most"])

    def _start(self, memory: MemoryMap) -> Cost | None:
        """None where the core does not start.

        A panic is kept in `panic`, since no other case starts a core on an eighth of this map.
        """
        reply = self._core.start(memory, "work.start")
        share = "" if memory is self._maps[1] else " on an eighth of the map"
        self._commands.append(f"work.start{share} → {reply.shown}")
        if reply.status == "ok":
            return Cost(reply["calls"], reply["total"], reply["most"])
        if reply.status == "panic" and self.panic is None and not may_refuse(memory, reply.outcome.text):
            self.panic = "CORE-01", START, reply
        return None

    def _scatter(self, order: int, kind: str) -> int:
        """How many blocks are free then."""
        reply = self._ask(f"work.scatter {order} {kind} any")
        return 0 if reply is None else reply["free"]

    def _ask(self, line: str) -> Reply | None:
        """The reply; None where it has no numbers."""
        reply = self._core.request(line)
        self._commands.append(f"{line} → {reply.shown}")
        clause, function = ("CORE-09", ALLOC) if line.startswith("work.alloc") else ("CORE-15", FREE)
        if reply.status == "panic" and self.panic is None:
            self.panic = clause, function, reply
        if reply.outcome.code == GIVEN_AGAIN:
            self._core.looked_at.add("CORE-14")
            expected, got = "at most one of each frame", "more than there can be frames"
            violation = CoreViolation("CORE-14", "blocks given, none back", expected, got, None, "endless")
            self.endless = Growth(ALLOC, violation)
        if reply.status == "ok":
            self._core.looked_at.add(clause)
        return reply if reply.status == "ok" else None
