"""Cases that no chance decides about: each is played on every core, before histories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from frame_harness.memory_core.state import ZONES
from frame_harness.memory_core.steps import Alloc, CaseOperation, Fill, Free, FreeOne, WrongFree
from frame_harness.memory_core.wrong_frees import WRONG_FREES

BORDER_MAPS: Final = ("across a zone border", "across the last zone border", "a frame in another zone")
CACHE_MAPS: Final = ("low memory alone", "little of the second zone alone")
"""So little memory that single frames take all of it; a core may cache frames of some zones alone."""
FREE_MAPS: Final = ("one piece", "reserved inside of free")


def basics(map_name: str, kinds: Sequence[str]) -> Iterator[tuple[CaseOperation, ...]]:
    """What is done on a map of that name.

    Args:
        kinds: that the core knows.
    """
    if map_name in BORDER_MAPS:  # every frame of a zone, taken and given back
        yield from ((Fill("b1", 0, kinds[-1], zone), Free("b1")) for zone in ZONES)
    if map_name in CACHE_MAPS:  # frames in a cache of one kind, and a request of another one
        for kind in kinds:
            for other in kinds:
                yield Fill("b1", 0, kind), FreeOne("b1"), FreeOne("b1"), Fill("b2", 0, other)
    if map_name in FREE_MAPS:
        for how in WRONG_FREES:
            again = (Free("b1"),) if how == "again" else ()
            yield Alloc("b1", 2, kinds[0]), *again, WrongFree(how, "b1")
