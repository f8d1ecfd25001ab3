"""Cases that no chance decides about: each is played on every core, before histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from frame_harness.memory_core.state import ZONES
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
    WrongFree,
)
from frame_harness.memory_core.wrong_frees import FREED_BEFORE, WRONG_FREES

BORDER_MAPS: Final = ("across a zone border", "across the last zone border", "a frame in another zone")
CACHE_MAPS: Final = ("low memory alone", "little of the second zone alone")
"""So little memory that single frames take all of it; a core may cache frames of some zones alone."""
WRONG_ORDERS: Final = {"one piece": (2, 5, 9), "reserved inside of free": (1,)}
"""By map the orders of blocks that are freed in wrong ways."""
FREE_MAPS: Final = tuple(WRONG_ORDERS)
WHOLE_MAPS: Final = ("one piece",)
HIGH_MAPS: Final = ("behind the PCI hole",)
"""Whose last zone lies above 4 GiB alone: elsewhere a core may give what lies below it first."""
HIGH_BLOCKS: Final = 8
PAIRS: Final = ("b1", "b2", "b3", "b4")
"""More blocks than ends of a map leave of one order: the last two are halves of one that was split."""
MAX_ORDER: Final = 11
"""Of the blocks that cores of this design have; one that has no list of an order returns an error."""
OFTEN: Final = (MAX_ORDER, 10, 9) * 4
"""Orders of large blocks, which are taken and given back more than a hundred times."""
NO_ORDERS: Final = (MAX_ORDER + 1, 63, 64, 255)
"""Orders that hardly any core has: one that has no list of them returns an error."""


def basics(
    map_name: str, kinds: Sequence[str], *, poison: bool = False
) -> Iterator[tuple[CaseOperation, ...]]:
    """What is done on a map of that name.

    Args:
        kinds: that the core knows.
        poison: whether it knows poisoned frames.
    """
    if map_name in WHOLE_MAPS:
        yield from _of_each_order(kinds, poison=poison)
    if map_name in BORDER_MAPS:  # every block of a zone, so those at its ends, too, taken and given back
        yield from (tuple(_apart(range(MAX_ORDER + 1), kinds[-1], zone)) for zone in ZONES)
    if map_name in (*WHOLE_MAPS, *CACHE_MAPS):
        yield from (tuple(_on_other_cpus(kind)) for kind in kinds)
    if map_name in CACHE_MAPS:  # frames in a cache of one kind, and a request of another one
        for kind in kinds:
            for other in kinds:
                yield Fill("b1", 0, kind), FreeOne("b1"), FreeOne("b1"), Fill("b2", 0, other)
    if map_name in FREE_MAPS:
        for how, order in ((how, order) for how in WRONG_FREES for order in WRONG_ORDERS[map_name]):
            again = (Free("b1"),) if how in FREED_BEFORE else ()
            yield Alloc("b1", order, kinds[0]), *again, WrongFree(how, "b1")
        yield Alloc("b1", 0, kinds[0]), Free("b1"), AsCpu(1), WrongFree("again", "b1")
        yield tuple(Alloc(f"b{order}", order, kinds[-1]) for order in NO_ORDERS)
    if map_name in HIGH_MAPS:  # more of one order than ends of the map leave: a largest block is split
        names = [f"b{at}" for at in range(HIGH_BLOCKS)]
        yield *(Alloc(name, 9, kinds[-1], ZONES[-1]) for name in names), *map(Free, names)
        yield Fill("b1", MAX_ORDER, kinds[-1], ZONES[-1]), Free("b1")


def _apart(orders: Iterable[int], kind: str, zone: str = ANY_ZONE) -> Iterator[CaseOperation]:
    """All blocks of each order: every second one comes back first, so that nothing can be merged."""
    for order in orders:
        yield from (Fill(f"b{order}", order, kind, zone), FreeHalf(f"b{order}"), Free(f"b{order}"))


def _on_other_cpus(kind: str) -> Iterator[CaseOperation]:
    """Caches of other CPUs run over, are emptied by requests there, and by one that needs all of them."""
    yield from (AsCpu(1), Fill("b1", 0, kind), Free("b1"), Fill("b2", 0, kind), FreeHalf("b2"))
    yield from (AsCpu(2), Free("b2"), AsCpu(0), Alloc("b3", 0, kind), Fill("b4", MAX_ORDER, kind))


def _of_each_order(kinds: Sequence[str], *, poison: bool) -> Iterator[tuple[CaseOperation, ...]]:
    orders = range(MAX_ORDER + 1)
    yield from (tuple(_split_and_merged(order, kinds[order % len(kinds)])) for order in orders)
    yield tuple(_apart([*orders, *OFTEN], kinds[0]))
    if poison:
        yield tuple(step for order in orders for step in _poisoned(order, kinds[0]))


def _split_and_merged(order: int, kind: str) -> Iterator[CaseOperation]:
    """The first half comes back before the second, behind it, and before it again: each bit is used twice."""
    for names in (PAIRS, PAIRS[::-1], PAIRS):
        yield from (Alloc(name, order, kind) for name in PAIRS)
        yield from map(Free, names)


def _poisoned(order: int, kind: str) -> Iterator[CaseOperation]:
    """A block whose last frame is poisoned alone."""
    yield from (Alloc(f"b{order}", order, kind), Poison(f"b{order}", last=True), Free(f"b{order}"))
