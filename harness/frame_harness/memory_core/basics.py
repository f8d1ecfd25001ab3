"""Cases that no chance decides about: each is played on every core, before histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from frame_harness.memory_core.owning_steps import Own
from frame_harness.memory_core.state import KINDS, LARGEST_BYTE_ORDER, MAX_ORDER, ZONES
from frame_harness.memory_core.steps import (
    ANY_ZONE,
    Alloc,
    AsCpu,
    CaseOperation,
    Fill,
    Free,
    FreeHalf,
    FreeOne,
    Poison,
    PoisonFree,
    WrongFree,
)
from frame_harness.memory_core.wrong_frees import FREED_BEFORE, WRONG_FREES

BORDER_MAPS: Final = ("across a zone border", "across the last zone border", "a frame in another zone")
CACHE_MAPS: Final = ("low memory alone", "little of the second zone alone")
"""So little memory that single frames take all of it; a core may cache frames of some zones alone."""
ISLAND_MAPS: Final = ("200 islands of a frame",)
"""Of which every frame is asked for: each lies in a segment of its own."""
WRONG_ORDERS: Final = {"one piece": (2, 5, 9, MAX_ORDER), "reserved inside of free": (1,)}
"""By map the orders of blocks that are freed in wrong ways."""
FREE_MAPS: Final = tuple(WRONG_ORDERS)
WHOLE_MAPS: Final = ("one piece",)
HIGH_MAPS: Final = ("behind the PCI hole",)
"""Whose last zone lies above 4 GiB alone: elsewhere a core may give what lies below it first."""
HIGH_BLOCKS: Final = 8
PAIRS: Final = ("b1", "b2", "b3", "b4")
"""More blocks than ends of a map leave of one order: the last two are halves of one that was split."""
OFTEN: Final = (MAX_ORDER, 10, 9) * 4
"""Orders of large blocks, which are taken and given back more than a hundred times."""
NO_ORDERS: Final = (MAX_ORDER + 1, 63, 64, LARGEST_BYTE_ORDER)
"""Orders that hardly any core has: one that has no list of them returns an error."""


def basics(map_name: str, offers: Mapping[str, bool]) -> Iterator[tuple[CaseOperation, ...]]:
    """What is done on a map of that name.

    Args:
        offers: what the core knows, of kinds, poison and owners.
    """
    kinds = KINDS if offers["kinds"] else KINDS[:1]
    if map_name in WHOLE_MAPS:
        yield from _of_each_order(kinds, poison=offers["poison"])
    if map_name in BORDER_MAPS:  # every block of a zone, so those at its ends, too, taken and given back
        apart = (_apart(range(MAX_ORDER + 1), kinds[-1], zone) for zone in ZONES)
        yield from ((*steps, AsCpu(1), WrongFree("again", "b1")) for steps in apart)
    if map_name in (*WHOLE_MAPS, *CACHE_MAPS):
        yield from (tuple(_on_other_cpus(kind)) for kind in kinds)
    if map_name in CACHE_MAPS:  # frames in a cache of one kind, and a request of another one
        for kind in kinds:
            for other in kinds:
                yield Fill("b1", 0, kind), FreeOne("b1"), FreeOne("b1"), Fill("b2", 0, other)
    if map_name in ISLAND_MAPS:
        # The last request cannot be served before the frames of all caches are back on lists.
        yield Fill("b3", 3, kinds[-1]), *_apart([0], kinds[-1]), Alloc("b1", MAX_ORDER)
    if map_name in FREE_MAPS:
        yield from _wrong_frees(WRONG_ORDERS[map_name], kinds)
        yield tuple(Alloc(f"b{order}", order, kinds[-1]) for order in NO_ORDERS)
    if map_name in HIGH_MAPS:
        yield from _high_blocks(kinds[-1], owners=offers["ownership"])


def _wrong_frees(orders: Sequence[int], kinds: Sequence[str]) -> Iterator[tuple[CaseOperation, ...]]:
    """Of a block of each order, of a frame in a cache, of what lies inside of a larger free block."""
    for how, order in ((how, order) for how in WRONG_FREES for order in orders):
        again = (Free("b1"),) if how in FREED_BEFORE else ()
        yield Alloc("b1", order, kinds[0]), *again, WrongFree(how, "b1")
    for order in sorted({*range(MAX_ORDER + 1)} - {*orders}):
        yield Alloc("b1", order, kinds[0]), Free("b1"), AsCpu(1), WrongFree("again", "b1")
    for half in PAIRS[-2:]:  # one of them is the upper half of what both became
        taken = (Alloc(name, orders[0], kinds[0]) for name in PAIRS)
        yield *taken, *map(Free, PAIRS), WrongFree("again", half)


def _high_blocks(kind: str, *, owners: bool) -> Iterator[tuple[CaseOperation, ...]]:
    """More of one order than ends of the map leave: a largest block is split. Then all of the largest."""
    names = [f"b{at}" for at in range(HIGH_BLOCKS)]
    taken = (Alloc(name, 9, kind, ZONES[-1]) for name in names)
    # Every second one first: buddies are merged that stand in the middle of a list.
    frees = map(Free, (*names[::2], *names[3::2], names[1]))
    yield *taken, *frees, WrongFree("again", names[1])
    yield Fill("b1", MAX_ORDER, kind, ZONES[-1]), Free("b1")
    if owners:
        yield tuple(_owned(kind))


def _owned(kind: str) -> Iterator[CaseOperation]:
    """Large blocks at high addresses: claims of frames far from the owned ones; many capabilities."""
    yield from (Alloc(name, MAX_ORDER - 1, kind, ZONES[-1]) for name in PAIRS)
    for name in PAIRS[-2:]:
        caps = range(2, 7 if name == PAIRS[-1] else 3)
        yield from (Own("claim", name, 1), Own("claim", name, 2, "around"), Own("ensure", name, 2, "page"))
        yield from (*(Own("add", name, cap) for cap in caps), Own("inc", name, part="page"))
        yield from (Own("remove", name, 1), Own("dec", name, part="tail"))
        yield from (Own("remove", name, cap) for cap in caps)


def _apart(orders: Iterable[int], kind: str, zone: str = ANY_ZONE) -> Iterator[CaseOperation]:
    """All blocks of each order: every second one comes back first, so that nothing can be merged."""
    for order in orders:
        yield from (Fill(f"b{order}", order, kind, zone), FreeHalf(f"b{order}"), Free(f"b{order}"))


def _on_other_cpus(kind: str) -> Iterator[CaseOperation]:
    """Caches of other CPUs run over, and are emptied: by requests on that CPU, by a request on another CPU
    that needs all of them, and by one that needs the frames of one of them alone.
    """
    yield from (AsCpu(1), Fill("b1", 0, kind), Free("b1"), Fill("b2", 0, kind), FreeHalf("b2"))
    yield from (AsCpu(2), Free("b2"), AsCpu(0), Alloc("b3", 0, kind), Fill("b4", MAX_ORDER, kind))
    yield from (AsCpu(2), Fill("b5", 0, kind), Free("b5"), AsCpu(0), Fill("b6", 1, kind))


def _of_each_order(kinds: Sequence[str], *, poison: bool) -> Iterator[tuple[CaseOperation, ...]]:
    orders = range(MAX_ORDER + 1)
    yield from (tuple(_split_and_merged(order, kinds[order % len(kinds)])) for order in orders)
    yield tuple(_apart([*orders, *OFTEN], kinds[0]))
    if poison:
        yield tuple(step for order in orders for step in _poisoned(order, kinds[0]))
        yield tuple(step for order in orders for step in _poisoned_first(order, kinds[0]))
        for kind in kinds:  # poison that comes while a frame is in a cache
            taken = (Alloc(name, 0, kind) for name in PAIRS)
            yield Alloc("b1", 0, kind), Free("b1"), PoisonFree("cached"), *taken
        for where in ("inside", "middle", "largest"):  # then every free block is asked for as a whole
            yield PoisonFree(where), *(Fill(f"b{order}", order, kinds[0]) for order in reversed(orders))


def _split_and_merged(order: int, kind: str) -> Iterator[CaseOperation]:
    """The first half comes back before the second, behind it, and before it again: each bit is used twice."""
    for names in (PAIRS, PAIRS[::-1], PAIRS):
        yield from (Alloc(name, order, kind) for name in PAIRS)
        yield from map(Free, names)


def _poisoned(order: int, kind: str) -> Iterator[CaseOperation]:
    """One of two halves has a poisoned frame, the last one or one in the middle; it comes back first."""
    yield from (Alloc(name, order, kind) for name in PAIRS)
    for sick, buddy, place in (("b1", "b2", "middle"), ("b4", "b3", "last")):
        yield from (Poison(sick, place), Free(sick), Free(buddy))


def _poisoned_first(order: int, kind: str) -> Iterator[CaseOperation]:
    """A block whose first frame is poisoned alone; whoever asks next must not get it."""
    name = f"b{order}"
    yield from (
        Alloc(name, order, kind),
        Poison(name, "first"),
        Free(name),
        Alloc(name, order, kind),
        Free(name),
    )
