"""A case as a value: the parts of a map, then operations. Each part can be left out or made simpler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from frame_harness.base.errors import UsageError
from frame_harness.histories.shrink import PlainStep
from frame_harness.memory_core.bounds import require_bounds
from frame_harness.memory_core.maps import Islands, MapRegion, MemoryMap, Protected, RegionKind
from frame_harness.memory_core.owning_steps import FORMS, Mark, Own, OwningStep
from frame_harness.memory_core.page_tables import VARIANTS
from frame_harness.memory_core.slots import PURPOSES
from frame_harness.memory_core.state import KINDS, ZONES
from frame_harness.memory_core.work_steps import WorkOf, WorkOfBoot, WorkStep, require_countable
from frame_harness.memory_core.wrong_frees import WRONG_FREES

ANY_ZONE: Final = "any"
MOST_FILLED: Final = 600
FREE_PLACES: Final = ("listed", "inside", "middle", "largest", "cached")
"""Where a free frame is: the first or the last of the smallest block on a list, inside of the largest one or
the last of that, or in a cache."""
POISON_PLACES: Final = ("first", "middle", "last")
"""Where a poisoned frame of a block is."""


@dataclass(frozen=True)
class Reach(PlainStep):
    """Where memory ends that the core can reach while it boots."""

    end: int

    def __str__(self) -> str:
        return f"reach {self.end:#x}"


@dataclass(frozen=True)
class Alloc(PlainStep):
    """Ask for a block of `2^order` frames, which other steps call by its name."""

    name: str
    order: int
    kind: str = KINDS[0]
    zone: str = ANY_ZONE

    def simpler(self) -> Iterator[Alloc]:
        """Yield any zone, the first of `KINDS`, then smaller orders, 0 first."""
        if self.zone != ANY_ZONE:
            yield replace(self, zone=ANY_ZONE)
        if self.kind != KINDS[0]:
            yield replace(self, kind=KINDS[0])
        for order in (0, self.order // 2, self.order - 1):
            if 0 <= order < self.order:
                yield replace(self, order=order)

    def __str__(self) -> str:
        return f"{self.name} = alloc {self.order} {self.kind} {self.zone}"


@dataclass(frozen=True)
class Fill(PlainStep):
    """Ask for blocks of one sort until there is none, `MOST_FILLED` at most; they have one name together."""

    name: str
    order: int
    kind: str = KINDS[0]
    zone: str = ANY_ZONE

    def simpler(self) -> Iterator[Fill | Alloc]:
        """Yield a single block, then any zone, the first of `KINDS`."""
        yield Alloc(self.name, self.order, self.kind, self.zone)
        if self.zone != ANY_ZONE:
            yield replace(self, zone=ANY_ZONE)
        if self.kind != KINDS[0]:
            yield replace(self, kind=KINDS[0])

    def __str__(self) -> str:
        return f"{self.name} = fill {self.order} {self.kind} {self.zone}"


@dataclass(frozen=True)
class FreeOne(PlainStep):
    """Give back the last one of the blocks that a name stands for."""

    name: str

    def __str__(self) -> str:
        return f"free one of {self.name}"


@dataclass(frozen=True)
class FreeHalf(PlainStep):
    """Give back every second of the blocks that a name stands for, so that what is free lies apart."""

    name: str

    def simpler(self) -> Iterator[FreeOne]:
        """Yield the free of a single block."""
        yield FreeOne(self.name)

    def __str__(self) -> str:
        return f"free half of {self.name}"


@dataclass(frozen=True)
class AsCpu(PlainStep):
    """Let what follows use the caches of another CPU, as if it ran there; a storm ends that."""

    cpu: int

    def __str__(self) -> str:
        return f"as cpu {self.cpu}"


@dataclass(frozen=True)
class Free(PlainStep):
    """Give back all blocks that a name stands for; nothing where there is none."""

    name: str

    def __str__(self) -> str:
        return f"free {self.name}"


@dataclass(frozen=True)
class FrameAlloc(PlainStep):
    """Ask the frame module for a frame; `purpose` is one of `PURPOSES`."""

    name: str
    purpose: str
    zeroed: bool

    order: ClassVar[int] = 0
    zone: ClassVar[str] = ANY_ZONE

    @property
    def kind(self) -> str:
        """The kind of block that the frame module asks the core for."""
        return KINDS[self.purpose == "user"]

    @property
    def writes(self) -> bool:
        """Whether the frame module writes into the frame."""
        return self.zeroed or self.purpose == "pagetable"

    def simpler(self) -> Iterator[FrameAlloc | Alloc]:
        """Yield a block without the frame module, the first purpose, then no zeroing."""
        yield Alloc(self.name, 0)
        if self.purpose != PURPOSES[0]:
            yield replace(self, purpose=PURPOSES[0])
        if self.zeroed:
            yield replace(self, zeroed=False)

    def __str__(self) -> str:
        return f"{self.name} = frame {self.purpose} {'zeroed' if self.zeroed else 'unzeroed'}"


@dataclass(frozen=True)
class PoisonFree(PlainStep):
    """Poison a frame that is free; `where` is one of `FREE_PLACES`."""

    where: str

    def __str__(self) -> str:
        return f"poison free {self.where}"


@dataclass(frozen=True)
class Poison(PlainStep):
    """Poison a frame of a block, at one of `POISON_PLACES`; of several blocks of the last one."""

    name: str
    place: str = "first"

    def simpler(self) -> Iterator[Poison]:
        """Yield the first frame in the place of another one."""
        if self.place != "first":
            yield replace(self, place="first")

    def __str__(self) -> str:
        return f"poison {self.name}" if self.place == "first" else f"poison {self.place} of {self.name}"


@dataclass(frozen=True)
class WrongFree(PlainStep):
    """Free what must not be freed; `how` is one of `WRONG_FREES`, near the block of that name."""

    how: str
    name: str

    def __str__(self) -> str:
        return f"wrongly free {self.how} {self.name}"


@dataclass(frozen=True)
class CaseStorm(PlainStep):
    """Random work of several CPUs at the same time, `turns` requests each; then all is given back."""

    cpus: int
    turns: int
    seed: int

    def simpler(self) -> Iterator[CaseStorm]:
        """Yield an eighth of the turns, then half of them."""
        for turns in (self.turns // 8, self.turns // 2):
            if turns:
                yield replace(self, turns=turns)

    def __str__(self) -> str:
        return f"storm of {self.cpus} for {self.turns} seed {self.seed}"


@dataclass(frozen=True)
class PageTables(PlainStep):
    """Make, use and give back page tables in frames of the core; `variant` is one of `VARIANTS`."""

    variant: str
    seed: int

    def simpler(self) -> Iterator[PageTables]:
        """Yield the first of `VARIANTS`, with the same seed."""
        if self.variant != VARIANTS[0]:
            yield replace(self, variant=VARIANTS[0])

    def __str__(self) -> str:
        return f"page tables {self.variant} seed {self.seed}"


CaseOperation = (
    Alloc | Fill | FrameAlloc | Free | FreeHalf | FreeOne | AsCpu | Poison | PoisonFree | WrongFree
    | CaseStorm | PageTables | WorkStep | OwningStep
)  # fmt: skip
CaseStep = MapRegion | Islands | Protected | Reach | CaseOperation


def map_of(steps: Sequence[CaseStep]) -> MemoryMap:
    """The map that some steps describe."""
    reach = [step.end for step in steps if isinstance(step, Reach)]
    return MemoryMap(
        "",
        tuple(step for step in steps if isinstance(step, MapRegion | Islands)),
        tuple(step for step in steps if isinstance(step, Protected)),
        min(reach, default=None),
    )


def steps_of(memory: MemoryMap) -> tuple[CaseStep, ...]:
    """The steps that describe a map."""
    reach = () if memory.hhdm_end is None else (Reach(memory.hhdm_end),)
    return (*memory.parts, *memory.protected, *reach)


def operations_of(steps: Sequence[CaseStep]) -> tuple[CaseOperation, ...]:
    """What is done on the map."""
    return tuple(step for step in steps if isinstance(step, CaseOperation))


def counts_work(steps: Sequence[CaseStep]) -> bool:
    """Whether it needs a guest that counts instructions."""
    return any(isinstance(step, WorkStep) for step in steps)


def written(steps: Sequence[CaseStep]) -> str:
    """One line that `parsed` reads."""
    return "; ".join(map(str, steps))


_COUNT: Final = r"(\d{1,20})"
_NUMBER: Final = r"(0x[0-9a-f]{1,17}|\d{1,20})"
"""As many digits as 2^65 has: where a region that goes on beyond the last address ends."""
_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[..., CaseStep]], ...]] = (
    (
        re.compile(rf"{_NUMBER}\.\.{_NUMBER} (null|free|reclaim|reserved)"),
        lambda base, end, kind: MapRegion(int(base, 0), int(end, 0) - int(base, 0), RegionKind[kind.upper()]),
    ),
    (
        re.compile(rf"{_NUMBER}\.\.{_NUMBER} protected"),
        lambda base, end: Protected(int(base, 0), int(end, 0) - int(base, 0)),
    ),
    (
        re.compile(rf"{_COUNT} islands of {_COUNT} from {_NUMBER}"),
        lambda count, frames, base: Islands(int(base, 0), int(count), int(frames)),
    ),
    (re.compile(rf"reach {_NUMBER}"), lambda end: Reach(int(end, 0))),
    (
        re.compile(rf"(\w+) = alloc {_COUNT} ({'|'.join(KINDS)}) ({'|'.join((ANY_ZONE, *ZONES))})"),
        lambda name, order, kind, zone: Alloc(name, int(order), kind, zone),
    ),
    (
        re.compile(rf"(\w+) = fill {_COUNT} ({'|'.join(KINDS)}) ({'|'.join((ANY_ZONE, *ZONES))})"),
        lambda name, order, kind, zone: Fill(name, int(order), kind, zone),
    ),
    (
        re.compile(rf"storm of (\d) for {_COUNT} seed {_COUNT}"),
        lambda cpus, turns, seed: CaseStorm(int(cpus), int(turns), int(seed)),
    ),
    (
        re.compile(rf"page tables ({'|'.join(VARIANTS)}) seed {_COUNT}"),
        lambda variant, seed: PageTables(variant, int(seed)),
    ),
    (
        re.compile(rf"(\w+) = frame ({'|'.join(PURPOSES)}) (zeroed|unzeroed)"),
        lambda name, purpose, zeroed: FrameAlloc(name, purpose, zeroed == "zeroed"),
    ),
    (re.compile(rf"poison free ({'|'.join(FREE_PLACES)})"), PoisonFree),
    (re.compile(r"work of boot"), WorkOfBoot),
    (
        re.compile(rf"work of order {_COUNT} ({'|'.join(KINDS)})"),
        lambda order, kind: WorkOf(int(order), kind),
    ),
    (re.compile(r"free one of (\w+)"), FreeOne),
    (re.compile(r"free half of (\w+)"), FreeHalf),
    (re.compile(rf"as cpu {_COUNT}"), lambda cpu: AsCpu(int(cpu))),
    (re.compile(r"free (\w+)"), Free),
    (re.compile(r"poison (\w+)"), Poison),
    (re.compile(r"poison (middle|last) of (\w+)"), lambda place, name: Poison(name, place)),
    (re.compile(rf"wrongly free ({'|'.join(WRONG_FREES)}) (\w+)"), WrongFree),
    *FORMS,
)


def parsed(text: str) -> tuple[CaseStep, ...]:
    """Read what `written` wrote.

    Raises:
        UsageError: a part is none of these, or has a number that no guest could be given.
    """
    steps = tuple(_parsed(part.strip()) for part in text.split(";") if part.strip())
    require_bounds(steps)
    return steps


def require_sense(steps: Sequence[CaseStep]) -> None:
    """Refuse a case that speaks of blocks that are never asked for, or counts work in a way that nobody can.

    Raises:
        UsageError: says which.
    """
    asked: set[str] = set()
    for step in operations_of(steps):
        if isinstance(step, Alloc | Fill | FrameAlloc):
            asked.add(step.name)
        elif isinstance(step, Free | FreeHalf | FreeOne | Poison | Own | Mark) and step.name not in asked:
            raise UsageError(
                "case", str(step), expected=f"`{step.name} = alloc …` before it", actual="nothing",
                next_step="copy the case from a report as it is",
            )  # fmt: skip
    for step in operations_of(steps):
        if isinstance(step, WorkStep):
            require_countable(step, len(operations_of(steps)))


def _parsed(part: str) -> CaseStep:
    for form, make in _FORMS:
        if found := form.fullmatch(part):
            return make(*found.groups())
    raise UsageError(
        "case", repr(part), expected="a region or an operation of a core",
        next_step="copy the case from a report as it is",
    )  # fmt: skip
