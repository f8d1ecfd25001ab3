"""Starts a core on map after map, plays operations, keeps one short case for each fault."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE
from frame_harness.histories.shrink import shrink
from frame_harness.memory_core.catalogue import KIB, MIB, catalogue, large_catalogue, random_map
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.generate import Writer
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.maps import MemoryMap, Region, Span
from frame_harness.memory_core.page_tables import VARIANTS
from frame_harness.memory_core.play import play
from frame_harness.memory_core.steps import PageTables, Step, Storm, operations_of, steps_of

OFFERS = ("kinds", "poison", "protected", "tables", "hhdm")
"""What versions of a core know or do not know; see `CoreGuest.offers`."""
STORM_CPUS, STORM_TURNS, STORMS = 3, 3000, 4
"""CPUs at once, requests of each, storms on each map that has them."""
STORM_MAPS = ("one piece", "low memory and high memory", "ACPI islands", "little in each zone")
HISTORIES, STEPS = 260, 24
"""What a whole run plays on each build: so many histories of about so many operations."""
MOST_TRIES = 400
"""So often a case is played to shorten it; most need a tenth of that."""
SPOILT = 2
"""So many starts that end at a known fault, and a map is left alone: nothing else can be seen behind it."""


@dataclass(frozen=True)
class Found:
    """A fault with the shortest case found that shows it.

    Attributes:
        map_name: of the map on which it was seen first.
        fresh: whether a guest that has just booted shows it, too.
    """

    failure: Failure
    map_name: str
    fresh: bool


@dataclass
class Tally:
    """What a campaign has done so far."""

    found: dict[Key, Found] = field(default_factory=dict)
    again: Counter[Key] = field(default_factory=Counter)
    """How often a history ended at a fault that was known by then."""
    maps: int = 0
    histories: int = 0
    storms: int = 0

    @property
    def words(self) -> str:
        """How far it is."""
        faults = plural(len(self.found), "fault")
        return f"{plural(self.maps, 'map')}, {self.histories} of {HISTORIES} histories, {faults}"


class Site:
    """A guest with the maps that its RAM has room for; it boots when it is first used."""

    def __init__(self, core: CoreGuest, maps: Callable[[int, int], Iterator[MemoryMap]]) -> None:
        self.core, self._catalogue = core, maps

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """RAM that is free."""
        return tuple(self.core.available())

    @cached_property
    def piece(self) -> Span:
        """The largest piece of it, cut to whole numbers."""
        first, end = max(self.spans, key=lambda span: span[1] - span[0])
        return -(-first // (2 * MIB)) * 2 * MIB, end // MIB * MIB

    @cached_property
    def maps(self) -> tuple[MemoryMap, ...]:
        """The catalogue's maps for this RAM."""
        start, end = self.piece
        return tuple(self._catalogue(start, max(end, self.spans[-1][1])))


Offers = Mapping[str, bool]
Case = tuple[Site, str, tuple[Step, ...]]
"""Where, the name of the map, what."""


def small_site(core: CoreGuest) -> Site:
    """Maps of a machine with little memory: each start takes milliseconds."""
    return Site(core, catalogue)


def large_site(core: CoreGuest) -> Site:
    """Maps that need memory in every zone."""
    return Site(core, large_catalogue)


def campaign(sites: Sequence[Site], seed: int, go_on: Callable[[Tally], bool] = lambda _: True) -> Tally:
    """Start on every map of the catalogue, play operations on these and on random maps, then storms.

    The same seed plays the same cases as long as the core finds them right.

    Args:
        go_on: is asked after each case.
    """
    tally, spoilt = Tally(), Counter[str]()
    offers = {what: sites[0].core.offers(what) for what in OFFERS}
    for site in sites:
        site.maps = tuple(memory for memory in site.maps if _is_for(memory, offers))
    starts, histories = _starts(sites, seed, offers, tally), _histories(sites, seed, offers, tally, spoilt)
    for site, name, steps in chain(starts, histories):
        _try(site.core, name, steps, tally, spoilt)
        if not go_on(tally):
            return tally
    _storms(sites, seed, tally, go_on)
    return tally


def _is_for(memory: MemoryMap, offers: Offers) -> bool:
    """Whether this version of a core knows all that a map has."""
    return (offers["hhdm"] or memory.hhdm_end is None) and (offers["protected"] or not memory.protected)


def _starts(sites: Sequence[Site], seed: int, offers: Offers, tally: Tally) -> Iterator[Case]:
    """Every map alone, and page tables on the first one of each site."""
    for site in sites:
        for memory in site.maps:
            tally.maps += 1
            yield site, memory.name, steps_of(memory)
    for number, variant in enumerate(VARIANTS * 2 if offers["tables"] else ()):
        site = sites[number % len(sites)]
        memory = site.maps[0]
        yield site, memory.name, (*steps_of(memory), PageTables(variant, seed + number))


def _histories(
    sites: Sequence[Site], seed: int, offers: Offers, tally: Tally, spoilt: Counter[str]
) -> Iterator[Case]:
    """Random operations, on maps that show nothing wrong by themselves as far as there are such."""
    rng = random.Random(f"{seed}")
    for number in range(HISTORIES):
        site = sites[0] if rng.random() < 0.85 else rng.choice(sites)
        memory = _map_for(rng, site, spoilt, number, protects=offers["protected"])
        writer = Writer(rng, kinds=offers["kinds"], poison=offers["poison"])
        tally.histories += 1
        yield site, memory.name, (*steps_of(memory), *writer.write(rng.randint(1, STEPS)))


def _storms(sites: Sequence[Site], seed: int, tally: Tally, go_on: Callable[[Tally], bool]) -> None:
    """Let several CPUs work where one CPU alone breaks nothing: what they break comes of their number."""
    for site in sites:
        for memory in (one for one in site.maps if one.name in STORM_MAPS):
            for number in range(seed, seed + STORMS):
                alone, together = (Storm(cpus, STORM_TURNS, number) for cpus in (1, STORM_CPUS))
                tally.storms += 1
                failure = play(site.core, (*steps_of(memory), alone), tally.found)
                if failure is None:
                    failure = play(site.core, (*steps_of(memory), together), tally.found)
                if failure is not None and failure.clause not in tally.found:
                    # A race does not show each time: the case stays as it is.
                    tally.found[failure.clause] = Found(failure, memory.name, fresh=True)
                    site.core.renew()
                if not go_on(tally):
                    return


def _map_for(
    rng: random.Random, site: Site, spoilt: Counter[str], number: int, *, protects: bool
) -> MemoryMap:
    roll = rng.random()
    if roll < 0.3:
        return random_map(rng, f"random {number}", site.spans, protects)
    if roll < 0.6:
        return _small_map(rng, site)
    fit = [one for one in site.maps if spoilt[one.name] < SPOILT]
    return rng.choice(fit or site.maps)


def _small_map(rng: random.Random, site: Site) -> MemoryMap:
    """A map whose memory can be used up in a few steps; all of its pieces begin at 2 MiB."""
    start, end = site.piece
    first = start + rng.randrange((end - start) // (4 * MIB)) * 2 * MIB
    slots = (first + MIB) // PAGE_SIZE * 64
    size = (slots + rng.choice((128, 256, 512, 1024, 2048)) * KIB) // PAGE_SIZE * PAGE_SIZE
    return MemoryMap("little memory", (Region(first, min(size, end - first)),))


def _try(core: CoreGuest, name: str, steps: Sequence[Step], tally: Tally, spoilt: Counter[str]) -> None:
    """Play a case as often as it shows something new: behind one fault there may be another."""
    while (failure := play(core, steps, tally.found)) is not None:
        if not operations_of(failure.steps):
            spoilt[name] += 1
        key = failure.clause
        if key in tally.found:
            tally.again[key] += 1
            return
        tally.found[key] = _shortened(core, failure, name, tuple(tally.found))


def _shortened(core: CoreGuest, failure: Failure, name: str, known: tuple[Key, ...]) -> Found:
    tries = iter(range(MOST_TRIES))

    def shorter(steps: Sequence[Step]) -> Failure | None:
        return play(core, steps, known) if next(tries, None) is not None else None

    shortest = shrink(failure, shorter)
    core.renew()
    again = play(core, shortest.steps, known)
    fresh = again is not None and again.clause == failure.clause
    return Found(again if again is not None and fresh else shortest, name, fresh)
