"""Decides whether a state of a memory core, and what it answered, is what the clauses permit."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.memory_core.maps import MemoryMap, Span, common, length, merged, rounded_out, without
from frame_harness.memory_core.state import KINDS, ZONES, CoreState, FreeBlock, spans_of

Key = tuple[str, str]
"""The clause and the cause of a fault."""


@dataclass(frozen=True)
class CoreViolation:
    """A clause that does not hold, with what shows it."""

    clause: str
    what: str
    expected: str
    got: str
    paddr: Paddr | None = None
    cause: str = ""
    """Tells it from another fault that breaks the same clause; a panic's place, for example."""

    @property
    def key(self) -> Key:
        """What all sightings of one fault have in common."""
        return self.clause, self.cause


@dataclass(frozen=True)
class Owned:
    """A block that was given to a caller."""

    pfn: Pfn
    order: int
    kind: str

    @property
    def end(self) -> Pfn:
        """One past its last frame."""
        return Pfn(self.pfn + (1 << self.order))


class Owner(StrEnum):
    """Who has some frames; the value is for a sentence."""

    LISTED = "on a free list"
    CACHED = "in a CPU's cache"
    CALLER = "given to a caller"
    CORE = "the core's own"
    QUARANTINE = "in quarantine"

    @property
    def free(self) -> bool:
        """Whether the core may hand the frames out."""
        return self in (Owner.LISTED, Owner.CACHED)


Holding = tuple[Pfn, Pfn, Owner]
"""First frame, one past the last, whose."""


@dataclass(frozen=True)
class Accepted:
    """What was wrong from the start on, and is not told again at each step."""

    stray: tuple[Span, ...] = ()
    """Free memory that is not usable memory of the map."""
    given_up: tuple[Span, ...] = ()
    """The core's own memory that was free."""
    own: tuple[Span, ...] | None = None
    """The rest of its own, in whole frames, which never moves; None before the start was judged: then it is
    that of the state."""


def accepted(state: CoreState, memory: MemoryMap) -> Accepted:
    """What is wrong with the first state of a core."""
    free = [(pfn_to_paddr(block.pfn), pfn_to_paddr(block.end)) for block in state.blocks]
    own = merged(rounded_out(spans_of(state.structures)))
    given_up = tuple(common(own, free))
    return Accepted(tuple(without(free, memory.usable)), given_up, tuple(without(own, given_up)))


def judge_state(
    state: CoreState,
    memory: MemoryMap,
    owned: Sequence[Owned],
    quarantine: Sequence[Owned],
    known: Accepted = Accepted(),
) -> Iterator[CoreViolation]:
    """Everything that is wrong with a state, what tells most first.

    Args:
        owned: what callers hold.
        quarantine: poisoned blocks that were freed.
    """
    yield from (
        CoreViolation("CORE-07", one.what, one.expected, one.got, pfn_to_paddr(one.pfn), "links")
        for one in state.faults
    )
    holdings = sorted(_holdings(state, owned, quarantine, known))
    yield from _two_owners(holdings)
    yield from _outside(holdings, memory, known)
    yield from _elsewhere(state)
    yield from _misaligned(state.blocks)
    yield from _unmerged(state)
    yield from _counters(state, owned, quarantine)


def _holdings(
    state: CoreState, owned: Sequence[Owned], quarantine: Sequence[Owned], known: Accepted
) -> Iterator[Holding]:
    yield from ((block.pfn, block.end, Owner.LISTED) for block in state.blocks)
    yield from ((pfn, Pfn(pfn + 1), Owner.CACHED) for pfn, _, _ in state.cached)
    yield from ((block.pfn, block.end, Owner.CALLER) for block in owned)
    yield from ((block.pfn, block.end, Owner.QUARANTINE) for block in quarantine)
    own = merged(rounded_out(spans_of(state.structures))) if known.own is None else known.own
    for first, end in own:
        yield paddr_to_pfn(first), paddr_to_pfn(end), Owner.CORE


def _two_owners(holdings: Sequence[Holding]) -> Iterator[CoreViolation]:
    reach, holder = 0, Owner.CORE
    for first, end, owner in holdings:
        if first < reach:
            yield _shared(first, holder, owner)
        if end > reach:
            reach, holder = end, owner


def _shared(pfn: Pfn, one: Owner, other: Owner) -> CoreViolation:
    owners = {one, other}
    if Owner.QUARANTINE in owners:
        clause = "CORE-19"
    elif Owner.CALLER in owners:
        clause = "CORE-14"
    else:
        clause = "CORE-04" if Owner.CORE in owners else "CORE-07"
    words = " and ".join(sorted(owners)) if one is not other else f"{one} twice"
    return CoreViolation(clause, "a frame has two owners", "one owner", words, pfn_to_paddr(pfn), words)


def _outside(holdings: Iterable[Holding], memory: MemoryMap, known: Accepted) -> Iterator[CoreViolation]:
    usable = merged([*memory.usable, *known.stray])
    firsts = [first for first, _ in usable]
    for first, end, owner in holdings:
        if not owner.free:
            continue
        span = (pfn_to_paddr(first), pfn_to_paddr(end))
        at = bisect_right(firsts, span[0]) - 1
        if at >= 0 and span[1] <= usable[at][1]:
            continue
        [stray, *_] = without([span], usable)
        where = _what_is_there(stray, memory)
        yield CoreViolation(
            "CORE-03", "a free block", "usable memory of the map alone", where, stray[0], where
        )
        return


def _what_is_there(stray: Span, memory: MemoryMap) -> str:
    if stray[0] < PAGE_SIZE:
        return "frame 0"
    for one in memory.protected:
        if common([stray], rounded_out([(one.base, one.end)])):
            return "a protected range"
    if common([stray], memory.forbidden):
        return "a reserved region"
    inside = [one for one in memory.regions if one.kind.usable and one.base < stray[1] and stray[0] < one.end]
    return "a frame that is not whole" if inside else "memory that the map does not have"


def _elsewhere(state: CoreState) -> Iterator[CoreViolation]:
    """The first block that is on a list of other memory: whoever merges it takes it for a part of that."""
    for block in state.blocks:
        segment = state.segments[block.segment]
        if not segment.first <= block.pfn < block.end <= segment.end:
            span, lists = (
                f"{pfn_to_paddr(first):#x}..{pfn_to_paddr(end):#x}"
                for first, end in ((block.pfn, block.end), (segment.first, segment.end))
            )
            what = f"a free block of order {block.order}"
            expected = f"inside of {lists}, whose list it is on"
            yield CoreViolation("CORE-07", what, expected, span, pfn_to_paddr(block.pfn), "other memory")
            return


def _misaligned(blocks: Iterable[FreeBlock]) -> Iterator[CoreViolation]:
    for block in blocks:
        if is_misaligned(block):
            what = f"a free block of order {block.order}"
            expected = f"a multiple of {PAGE_SIZE << block.order:#x}"
            at = pfn_to_paddr(block.pfn)
            yield CoreViolation("CORE-06", what, expected, f"{at:#x}", at)
            return


def _unmerged(state: CoreState) -> Iterator[CoreViolation]:
    found = {(block.segment, block.order, block.kind, block.pfn) for block in state.blocks}
    for block in state.blocks:
        buddy = Pfn(block.pfn ^ (1 << block.order))
        if (
            block.order < state.max_order
            and not block.pfn & ((1 << block.order) - 1)
            and (block.segment, block.order, block.kind, buddy) in found
        ):
            what = f"two free {KINDS[block.kind]} buddies of order {block.order}"
            got = f"{pfn_to_paddr(block.pfn):#x} and {pfn_to_paddr(buddy):#x}, both on its list"
            yield CoreViolation(
                "CORE-08", what, f"one block of order {block.order + 1}", got, pfn_to_paddr(block.pfn)
            )
            return


def judge_structures(state: CoreState, memory: MemoryMap) -> Iterator[CoreViolation]:
    """What is wrong with the memory that the core took for itself at boot."""
    usable = memory.usable
    # Maps of hundreds of pieces have thousands of structures: all are looked at together first.
    any_stray = bool(without(spans_of(state.structures), usable))
    for one in state.structures:
        if any_stray and (stray := without([one.span], usable)):
            where = _what_is_there(stray[0], memory)
            yield CoreViolation("CORE-02", one.name, "usable memory of the map", where, one.span[0], where)
        if memory.hhdm_end is not None and one.span[1] > memory.hhdm_end:
            limit = f"below {memory.hhdm_end:#x}, which the core can reach"
            yield CoreViolation(
                "CORE-02", one.name, limit, f"up to {one.span[1]:#x}", one.span[0], "out of reach"
            )
        if one.span[0] % one.align:
            yield CoreViolation(
                "CORE-02",
                one.name,
                f"a multiple of {one.align:#x}",
                f"{one.span[0]:#x}",
                one.span[0],
                "misaligned",
            )
        if one.within is not None and without([one.span], [one.within]):
            pool = f"inside of {one.within[0]:#x}..{one.within[1]:#x}, which was taken for it"
            got = f"{one.span[0]:#x}..{one.span[1]:#x}"
            yield CoreViolation("CORE-02", one.name, pool, got, one.span[0], "outgrown")
    # What is part of something larger overlaps with that, but not with another part.
    ordered = sorted(
        (one for one in state.structures if one.span[0] < one.span[1]),
        key=lambda one: (one.within is not None, one.span),
    )
    for before, after in pairwise(ordered):
        if (before.within is None) == (after.within is None) and after.span[0] < before.span[1]:
            got = f"{before.name} ends at {before.span[1]:#x}, {after.name} begins at {after.span[0]:#x}"
            yield CoreViolation(
                "CORE-02", "two parts of the core's own", "apart", got, after.span[0], "overlap"
            )
            return


def _counters(
    state: CoreState, owned: Sequence[Owned], quarantine: Sequence[Owned]
) -> Iterator[CoreViolation]:
    """Hold each zone's counters against what is in its lists and caches; nothing is known of other zones."""
    given, apart = ([0] * len(state.zones) for _ in range(2))
    for blocks, counts in ((owned, given), (quarantine, apart)):
        for block in blocks:
            if (zone_of := state.zone_of(block.pfn)) is not None:
                counts[zone_of] += 1 << block.order
    for zone in range(len(state.zones)):
        yield from _of_zone(state, zone, given[zone], apart[zone])
    if state.cached_in_all not in (None, in_all := len(state.cached)):
        yield CoreViolation(
            "CORE-18", what := "cached frames in all", str(in_all), str(state.cached_in_all), None, what
        )
    poisoned = sum(1 << block.order for block in quarantine)
    if state.quarantined is not None and state.quarantined != poisoned:
        yield CoreViolation(
            "CORE-19", "frames in quarantine", str(poisoned), str(state.quarantined), None, "count"
        )


def _of_zone(state: CoreState, zone: int, given: int, apart: int) -> Iterator[CoreViolation]:
    counters = state.zones[zone]
    kinds = Counter(kind for pfn, kind, _ in state.cached if state.zone_of(pfn) == zone)
    cached = kinds.total()
    counted: dict[str, tuple[int, int | None]] = {
        "cached frames": (cached, counters.cached),
        **{f"cached {KINDS[at]} frames": (kinds[at], n) for at, n in enumerate(counters.cached_of_kind)},
        "free frames": (_listed(state, zone), counters.free),
        "allocated frames": (given + cached, counters.allocated),
        "managed frames": (_managed(state, zone, given + cached + apart), counters.managed),
    }
    for counter, (there, n) in counted.items():
        if n is not None and n != there:
            yield _miscounted(counter, zone, there, n)


def _managed(state: CoreState, zone: int, elsewhere: int) -> int:
    """How many frames of a zone are managed: all of its segments; where these have holes, all that are known.

    Args:
        elsewhere: frames of the zone that are on no list.
    """
    segments = [one for one in state.segments if one.zone == zone]
    if not any(one.holes for one in segments):
        return sum(one.end - one.first for one in segments)
    return _listed(state, zone) + elsewhere


def _listed(state: CoreState, zone: int) -> int:
    """How many frames of a zone are on its free lists."""
    listed = (block for block in state.blocks if state.segments[block.segment].zone == zone)
    return sum(1 << block.order for block in listed)


def _miscounted(counter: str, zone: int, there: int, counted: int) -> CoreViolation:
    what, expected = f"{counter} of zone {ZONES[zone]}", f"{there}, as lists and caches show"
    return CoreViolation("CORE-18", what, expected, str(counted), None, counter)


def judge_population(state: CoreState, memory: MemoryMap) -> Iterator[CoreViolation]:
    """What memory the core forgot at boot."""
    if memory.strange:
        return
    free = [(pfn_to_paddr(block.pfn), pfn_to_paddr(block.end)) for block in state.blocks]
    kept = merged([*free, *rounded_out(spans_of(state.structures))])
    lost = without(memory.usable, kept)
    if lost:
        got = f"{length(lost) // PAGE_SIZE} frames are neither, the first at {lost[0][0]:#x}"
        yield CoreViolation("CORE-05", "usable memory after boot", "free, or the core's own", got, lost[0][0])


def can_serve(state: CoreState, order: int, zone: str) -> Pfn | None:
    """The first frame of free frames that could serve a request, whatever kind they are of; None without any.

    They may lie in smaller blocks and in caches: the core can put these together.
    """
    free = sorted(
        [*((block.pfn, block.end) for block in state.blocks), *((pfn, pfn + 1) for pfn, _, _ in state.cached)]
    )
    size = 1 << order
    for segment in state.segments:
        if zone not in ("any", ZONES[segment.zone]):
            continue
        run, reach = 0, -1
        for first, end in free:
            inside, inside_end = max(first, segment.first), min(end, segment.end)
            if inside >= inside_end:
                continue
            if inside > reach:
                run = inside
            reach = max(reach, inside_end)
            aligned = -(-run // size) * size
            if aligned + size <= reach:
                return Pfn(aligned)
    return None


def why_not(state: CoreState, order: int, kind: str, zone: str, cpu: int = 0) -> str:
    """In what an allocation that `cpu` asked for finds no block: in words that tell faults apart."""
    zones = [at for at, name in enumerate(ZONES) if zone in ("any", name)]
    listed = any(
        block.order >= order and state.segments[block.segment].zone in zones for block in state.blocks
    )
    cached = [one for one in state.cached if state.zone_of(one[0]) in zones]
    if listed:
        return "a block on a free list"
    if not cached:
        return "free blocks that were not merged"
    kinds = " and ".join(sorted({KINDS[one[1]] for one in cached}))
    where = "of one zone alone" if zone != "any" else f"for {kind} memory"
    caches = "caches" if any(whose == cpu for _, _, whose in cached) else "caches of other CPUs"
    return f"{kinds} frames in {caches}, asked {where}"


def is_misaligned(block: Owned | FreeBlock) -> bool:
    """Whether a block begins where no block of its size does."""
    return bool(block.pfn & ((1 << block.order) - 1))


def follows_from(key: Key, known: Iterable[Key]) -> bool:
    """Whether a fault is only another side of one that is known: a core that takes memory gives it, too."""
    clause, cause = key
    return clause == "CORE-02" and ("CORE-03", cause) in known
